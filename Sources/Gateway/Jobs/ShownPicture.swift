import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage
import StreamCodecs

/// A preview or a finished picture, to be written as the bytes it is.
struct ShownPicture: Sendable {
    private enum Source: Sendable {
        case base64(ImagePayload)
        /// In the image store alone.
        case stored(ImageID)
        /// The same, opened.
        case file(any StoredImageReader)
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

    private init(file: any StoredImageReader) {
        self.source = .file(file)
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
        return await payloads.open(id).map { ShownPicture(file: $0) }
    }

    /// Bytes of the picture; 0 while it is not ``readable(_:)``.
    var byteCount: Int {
        switch self.source {
        case .base64(let payload): payload.decodedCount
        case .file(let file): file.image.size
        case .stored: 0
        }
    }

    /// By what the bytes are: an upstream's word is never passed on as a type.
    /// - Throws: `storage_unavailable` when they cannot be read again.
    func mediaType() async throws -> String {
        let format: ImageFormat?
        switch self.source {
        case .base64(let payload):
            let start = try await payload.displaced?.read(0..<min(88, payload.base64Count)) ?? payload.base64
            format = ImageHeader.format(of: Base64.decodePrefix(start, maximumBytes: 64))
        case .file(let file): format = file.image.format
        case .stored: format = nil
        }
        return format?.mediaType ?? "application/octet-stream"
    }

    /// Decodes 64 KiB of text at a time, so that memory is bounded by what the client takes. One that takes nothing of a payload in
    /// memory may have to give way.
    func write(
        to body: inout some ResponseBodyWriter, budget: PayloadBudget, connection: ClientConnection
    ) async throws {
        switch self.source {
        case .stored:
            return
        case .file(let file):
            for try await piece in file.pieces(of: 0..<file.image.size) { try await body.write(piece) }
        case .base64(let payload):
            let stall = StallMark(budget) { [weak connection] in connection?.abort() }
            try await Self.write(payload, to: &body, stall)
        }
    }

    private static func write(
        _ payload: ImagePayload, to body: inout some ResponseBodyWriter, _ stall: StallMark
    ) async throws {
        let held = payload.lease?.bytes ?? 0
        var decoder = Base64StreamDecoder()
        var offset = 0
        while offset < payload.base64Count {
            let end = min(offset + (64 << 10), payload.base64Count)
            let piece =
                try await payload.displaced?.read(offset..<end)
                ?? payload.base64.getSlice(at: payload.base64.readerIndex + offset, length: end - offset)
            var bytes = ByteBuffer()
            try decoder.decode(piece ?? ByteBuffer(), into: &bytes)
            if held > 0 { stall.set(holding: held) }
            try await body.write(bytes)
            offset = end
        }
        stall.clear()
        try decoder.finish()
    }
}
