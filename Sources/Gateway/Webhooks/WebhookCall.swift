import Providers
import Transport

/// One message on its way: a request, and of its answer the head.
enum WebhookCall {
    /// An attempt takes no longer than `total`.
    static let timeouts = UpstreamTimeouts(
        connect: .seconds(5), firstByte: .seconds(15), idle: .seconds(5), total: .seconds(15))
    static let maximumAnswerBytes = 64 << 10

    /// Whose task is cancelled learns `interrupted`, and the connection is closed.
    static func perform(_ call: UpstreamCall, over transport: any UpstreamTransport) async -> WebhookOutcome {
        guard let answer = await AwaitedCall.perform(call, over: transport, keepsBody: false) else {
            return .failed(.interrupted)
        }
        // Whoever sent a head has decided; how the rest of the answer fares changes nothing.
        guard let head = answer.head else { return .failed(.call(answer.failure?.reason ?? .other)) }
        return .answered(status: head.status, retryAfterMilliseconds: RetryAfter.milliseconds(head.headers))
    }
}
