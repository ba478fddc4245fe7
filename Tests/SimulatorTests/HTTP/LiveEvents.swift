import NIOCore
import StreamCodecs

/// The frames of an event stream, read with the gateway's own decoder.
struct LiveEvents {
    struct Frame {
        let name: String?
        let json: JSONNode?
    }

    let frames: [Frame]
    /// The stream ended in the middle of a frame.
    let hasPartialFrame: Bool

    init(_ body: ByteBuffer) throws {
        var decoder = ServerSentEventDecoder(scanner: NoScanner())
        var frames: [Frame] = []
        try body.withUnsafeReadableBytes { bytes in
            var rest = bytes
            while let frame = try decoder.consume(&rest) {
                let json = try? JSONDocument(frame.data).root
                frames.append(Frame(name: frame.event.map { String(buffer: $0) }, json: json))
            }
        }
        self.frames = frames
        self.hasPartialFrame = decoder.hasPartialFrame
    }

    var names: [String] { self.frames.map { $0.name ?? "" } }
}
