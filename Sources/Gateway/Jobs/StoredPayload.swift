import ImageGeneration
import NIOCore
import Storage
import StreamCodecs

/// A finished picture that is in the image store alone, as the text it was told as.
final class StoredPayload: DisplacedPayload {
    /// An open picture stays readable whatever becomes of it in the store.
    private enum Source: Sendable {
        case open(any StoredImageReader)
        /// Opened for each read, since many pictures are known and few are read.
        case stored(ImageID, any ImageStore)
    }

    private let source: Source
    /// Bytes of the picture.
    let decodedCount: Int

    init(_ reader: any StoredImageReader) {
        self.source = .open(reader)
        self.decodedCount = reader.image.size
    }

    init(_ id: ImageID, size: Int, in store: any ImageStore) {
        self.source = .stored(id, store)
        self.decodedCount = size
    }

    var base64Count: Int { (self.decodedCount + 2) / 3 * 4 }

    func read(_ range: Range<Int>) async throws -> ByteBuffer {
        let groups = range.lowerBound / 4..<(range.upperBound + 3) / 4
        let bytes = groups.lowerBound * 3..<min(groups.upperBound * 3, self.decodedCount)
        let text = Base64.encode(try await self.reader().read(bytes))
        let start = text.readerIndex + range.lowerBound - groups.lowerBound * 4
        guard let slice = text.getSlice(at: start, length: range.count) else { throw Self.gone }
        return slice
    }

    private func reader() async throws -> any StoredImageReader {
        switch self.source {
        case .open(let reader): return reader
        case .stored(let id, let store):
            guard let reader = try await store.open(id), reader.image.size == self.decodedCount else { throw Self.gone }
            return reader
        }
    }

    private static var gone: GatewayError { GatewayError(.storageUnavailable, "The picture is no longer kept.") }
}
