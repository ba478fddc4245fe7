import ImageGeneration
import NIOCore
import NIOHTTP1
import StreamCodecs

/// A failure told before any route is known, so in no dialect's form: problem members (RFC 9457) and an `error` object in one body.
enum PlainErrorResponse {
    static func body(_ error: GatewayError) -> ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        json.field("type", "about:blank")
        json.field("title", error.message)
        json.field("status", error.code.status)
        json.key("error")
        json.beginObject()
        json.field("code", error.code.rawValue)
        json.field("message", error.message)
        json.field("source", error.source.rawValue)
        json.field("retryable", error.isRetryable)
        json.field("billed", error.billed.rawValue)
        json.field("retry_after_ms", error.retryAfterMilliseconds)
        json.endObject()
        json.endObject()
        return json.buffer
    }

    /// For the channel handler, which has no request to answer in the ordinary way.
    static func parts(_ error: GatewayError) -> (HTTPResponseHead, ByteBuffer) {
        let body = self.body(error)
        var headers = HTTPHeaders([
            ("content-type", "application/problem+json"), ("content-length", String(body.readableBytes)),
            ("connection", "close"), ("x-request-id", RequestScope.newID()), ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"),
        ])
        if let wait = error.retryAfterMilliseconds {
            headers.add(name: "retry-after", value: String(max(1, wait / 1000)))
        }
        return (
            HTTPResponseHead(version: .http1_1, status: .init(statusCode: error.code.status), headers: headers), body
        )
    }
}
