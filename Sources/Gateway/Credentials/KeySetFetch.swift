import HTTPTypes
import NIOCore
import Transport

/// One GET of a small document.
enum KeySetFetch {
    private static let timeouts = UpstreamTimeouts(
        connect: .seconds(5), firstByte: .seconds(10), idle: .seconds(5), total: .seconds(15))
    private static let maximumBytes = 256 << 10

    /// The body of a 200; nil for everything else. Redirects are not followed.
    static func document(at url: String, over transport: any UpstreamTransport) async -> ByteBuffer? {
        let call = UpstreamCall(
            method: .get, url: url, headers: [.accept: "application/jwk-set+json, application/json"],
            timeouts: self.timeouts, maximumResponseBytes: self.maximumBytes)
        let answer = await AwaitedCall.perform(call, over: transport, keepsBody: true)
        guard let answer, answer.failure == nil, answer.head?.status == 200 else { return nil }
        return answer.body
    }
}
