package import ImageGeneration
package import NIOCore

/// Keeps finished pictures. Blocking work happens on the store's own threads.
package protocol ImageStore: Sendable {
    /// Stores a picture whole or not at all; one that is kept under the id already is replaced at once.
    /// - Parameter format: what the caller found the bytes to be.
    /// - Throws: `GatewayError` `storage_full`, `storage_unavailable`; `image_refused` when the bytes are no picture of that
    ///   format, `upstream_protocol` when the payload is not base64.
    func store(_ payload: ImagePayload, id: ImageID, format: ImageFormat) async throws -> StoredImage

    /// The picture, to be read piece by piece; nil when there is none of that id.
    /// - Throws: `GatewayError` `storage_unavailable`.
    func open(_ id: ImageID) async throws -> (any StoredImageReader)?

    /// - Returns: whether there was one.
    /// - Throws: `GatewayError` `storage_unavailable`.
    func remove(_ id: ImageID) async throws -> Bool
}

extension ImageStore {
    /// The picture's bytes, all at once: for callers that hold them anyway.
    package func read(_ id: ImageID) async throws -> (image: StoredImage, bytes: ByteBuffer)? {
        guard let reader = try await self.open(id) else { return nil }
        return (reader.image, try await reader.read(0..<reader.image.size))
    }
}

package struct StoredImage: Sendable {
    package let id: ImageID
    /// What the first bytes were found to be.
    package let format: ImageFormat
    /// In bytes.
    package let size: Int
    package let storedAt: Timestamp
    /// Differs whenever the bytes may differ: letters and digits, at most 64.
    package let version: String

    package init(id: ImageID, format: ImageFormat, size: Int, storedAt: Timestamp, version: String) {
        self.id = id
        self.format = format
        self.size = size
        self.storedAt = storedAt
        self.version = version
    }

    package var fileName: String { "\(self.id.text).\(self.format.fileExtension)" }
}

/// Whose picture it is. Pictures of nobody belong to no principal: they are reached by their signed URLs alone.
package protocol ImageOwners: Sendable {
    /// - Returns: the principal of the job that the picture came from; nil for nobody's, and for an id that is not known.
    /// - Throws: `GatewayError` `storage_unavailable`.
    func owner(of id: ImageID) async throws -> String?
}

/// While there are no principals.
package struct NoImageOwners: ImageOwners {
    package init() {}

    package func owner(of id: ImageID) async throws -> String? { nil }
}
