import ImageGeneration
import NIOCore
import Storage

/// A store that takes a picture only when the test lets it.
struct HeldImageStore: ImageStore {
    private let permits: AsyncStream<Void>
    private let permit: AsyncStream<Void>.Continuation

    init() { (self.permits, self.permit) = AsyncStream.makeStream() }

    /// Lets one picture through.
    func release() { self.permit.yield() }

    func store(_ payload: ImagePayload, id: ImageID, format: ImageFormat) async throws -> StoredImage {
        for await _ in self.permits { break }
        return StoredImage(
            id: id, format: format, size: payload.decodedCount, storedAt: Timestamp(seconds: 0), version: "held")
    }

    func open(_ id: ImageID) async throws -> (any StoredImageReader)? { nil }

    func remove(_ id: ImageID) async throws -> Bool { false }
}
