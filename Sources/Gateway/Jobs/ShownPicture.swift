import HummingbirdCore
import ImageGeneration
import NIOCore
import StreamCodecs

/// A preview or a finished picture, to be written as the bytes it is.
struct ShownPicture: Sendable {
    private enum Source: Sendable {
        case base64(ImagePayload)
        case bytes(ByteBuffer)
        /// In the image store alone.
        case stored(ImageID)
    }

    private let source: Source
    let isFinished: Bool

    /// Nil for events that show nothing of this picture.
    init?(_ event: JobEvent, imageIndex: Int) {
        switch event {
        case .partialImage(let preview) where preview.imageIndex == imageIndex:
            self.source = .base64(preview.payload)
            self.isFinished = false
        case .image(let image) where image.imageIndex == imageIndex:
            self.source = image.payload.map { .base64($0) } ?? .stored(image.imageID)
            self.isFinished = true
        case .partialImage, .image, .stage, .textDelta, .completed, .error, .cancelled:
            return nil
        }
    }

    private init(bytes: ByteBuffer) {
        self.source = .bytes(bytes)
        self.isFinished = true
    }

    static func newest(of imageIndex: Int, in events: [SequencedEvent]) -> ShownPicture? {
        for entry in events.reversed() {
            if let picture = ShownPicture(entry.event, imageIndex: imageIndex) { return picture }
        }
        return nil
    }

    /// The picture with its bytes at hand; nil when they are gone.
    func readable(_ payloads: KeptPayloads) async throws(GatewayError) -> ShownPicture? {
        guard case .stored(let id) = self.source else { return self }
        return await payloads.imageBytes(id).map { ShownPicture(bytes: $0) }
    }

    /// Bytes of the picture; 0 while it is not ``readable(_:)``.
    var byteCount: Int {
        switch self.source {
        case .base64(let payload): payload.decodedCount
        case .bytes(let bytes): bytes.readableBytes
        case .stored: 0
        }
    }

    /// By what the bytes are: an upstream's word is never passed on as a type.
    var mediaType: String {
        let start: ByteBuffer =
            switch self.source {
            case .base64(let payload): Base64.decodePrefix(payload.base64, maximumBytes: 64)
            case .bytes(let bytes): bytes
            case .stored: ByteBuffer()
            }
        return ImageHeader.format(of: start)?.mediaType ?? "application/octet-stream"
    }

    /// Decodes 64 KiB of text at a time, so that memory is bounded by what the client takes.
    func write(to body: inout some ResponseBodyWriter) async throws {
        switch self.source {
        case .stored:
            return
        case .bytes(let bytes):
            try await body.writeSliced(bytes)
        case .base64(let payload):
            var rest = payload.base64
            var decoder = Base64StreamDecoder()
            while let piece = rest.readSlice(length: min(64 << 10, rest.readableBytes)), piece.readableBytes > 0 {
                var bytes = ByteBuffer()
                try decoder.decode(piece, into: &bytes)
                try await body.write(bytes)
            }
            try decoder.finish()
        }
    }
}
