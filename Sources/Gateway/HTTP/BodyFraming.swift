import ImageGeneration
import NIOHTTP1

/// How much of a request is neither head nor body. The parser skips chunk extensions, so that nobody else would notice a request of
/// nothing but them.
struct BodyFraming {
    /// Of the request, whatever they were. Where requests are sent ahead of answers, the next one's count too.
    var receivedBytes = 0
    private var headBytes = 0
    private var isChunked = false

    /// Bytes that framing may always have.
    private static let allowance = 16 << 10
    /// Bytes of framing for each byte of the body: a chunk of one byte needs five.
    private static let perByte = 16

    mutating func read(_ head: HTTPRequestHead) {
        self.isChunked = head.headers.contains(name: "transfer-encoding")
        // Separators are left out: what is missing here is within the allowance.
        self.headBytes = head.headers.reduce(head.uri.utf8.count) { $0 + $1.name.utf8.count + $1.value.utf8.count + 4 }
    }

    func isTooMuch(body: Int) -> Bool {
        self.isChunked && self.receivedBytes - self.headBytes > body * (Self.perByte + 1) + Self.allowance
    }
}

extension GatewayError {
    /// Answered on a connection that closes.
    static var overframed: GatewayError {
        GatewayError(.invalidParameter, "The request's chunks have more framing than content.")
    }
}
