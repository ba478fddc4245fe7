import NIOCore

/// The framing of `multipart/x-mixed-replace`, where each part takes the place of the one before.
///
/// A browser shows a part when it sees the boundary behind it, so that boundary follows each part at once and not with the next one.
struct MixedReplaceParts: Sendable {
    let boundary: String

    /// A boundary of 128 random bits, which no picture holds.
    init() {
        var generator = SystemRandomNumberGenerator()
        let bits = [generator.next(), generator.next()] as [UInt64]
        self.boundary = "safelight-" + bits.map { String($0, radix: 36) }.joined()
    }

    var contentType: String { "multipart/x-mixed-replace; boundary=\(self.boundary)" }

    /// Before the first part.
    var opening: ByteBuffer { ByteBuffer(string: "--\(self.boundary)\r\n") }

    func head(mediaType: String, byteCount: Int) -> ByteBuffer {
        ByteBuffer(string: "Content-Type: \(mediaType)\r\nContent-Length: \(byteCount)\r\n\r\n")
    }

    /// Behind a part.
    func closing(isLast: Bool) -> ByteBuffer {
        ByteBuffer(string: "\r\n--\(self.boundary)\(isLast ? "--" : "")\r\n")
    }

    /// Said while the next part is awaited: a header field of that part, which nobody reads.
    static let heartbeat = ByteBuffer(staticString: "X-Heartbeat: 1\r\n")
}
