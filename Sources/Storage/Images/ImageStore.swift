package import ImageGeneration
package import NIOCore

/// Keeps finished pictures. Blocking work happens on the store's own threads.
package protocol ImageStore: Sendable {
    /// Stores a picture whole or not at all.
    /// - Throws: `GatewayError` `storage_full`, `storage_unavailable`.
    func store(_ payload: ImagePayload, id: ImageID, format: ImageFormat) async throws -> StoredImage

    /// The picture's bytes; nil when there is none of that id.
    func read(_ id: ImageID) async throws -> (image: StoredImage, bytes: ByteBuffer)?

    func remove(_ id: ImageID) async throws -> Bool
}

package struct StoredImage: Sendable {
    package let id: ImageID
    package let format: ImageFormat
    /// In bytes.
    package let size: Int
    package let storedAt: Timestamp

    package init(id: ImageID, format: ImageFormat, size: Int, storedAt: Timestamp) {
        self.id = id
        self.format = format
        self.size = size
        self.storedAt = storedAt
    }
}
