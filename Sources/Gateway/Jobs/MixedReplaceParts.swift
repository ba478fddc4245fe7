import NIOCore

/// The framing of `multipart/x-mixed-replace`, where each part takes the place of the one before.
///
/// Chromium shows a part when it has the head of the next one, so that head follows each part at once and not with the next picture.
/// It is therefore written before the next picture's type and size are known: it has no length, and repeats the type, which
/// within a job is the same.
struct MixedReplaceParts: Sendable {
    private let boundary: String
    private var hasHead = false

    /// A boundary of 128 random bits, which no picture holds.
    init() {
        var generator = SystemRandomNumberGenerator()
        let bits = [generator.next(), generator.next()] as [UInt64]
        self.boundary = "safelight-" + bits.map { String($0, radix: 36) }.joined()
    }

    var contentType: String { "multipart/x-mixed-replace; boundary=\(self.boundary)" }

    /// Before the first part.
    var opening: ByteBuffer { ByteBuffer(string: "--\(self.boundary)\r\n") }

    /// Said while the first part is awaited: a header field of that part, which nobody reads.
    static let heartbeat = ByteBuffer(staticString: "X-Heartbeat: 1\r\n")

    /// What stands before a picture where it is not there yet.
    mutating func head(mediaType: String) -> ByteBuffer {
        guard !self.hasHead else { return ByteBuffer() }
        self.hasHead = true
        return ByteBuffer(string: "Content-Type: \(mediaType)\r\n\r\n")
    }

    /// Behind a picture: the next part's head, or the end.
    func tail(mediaType: String, isLast: Bool) -> ByteBuffer {
        guard !isLast else { return ByteBuffer(string: "\r\n--\(self.boundary)--\r\n") }
        return ByteBuffer(string: "\r\n--\(self.boundary)\r\nContent-Type: \(mediaType)\r\n\r\n")
    }
}
