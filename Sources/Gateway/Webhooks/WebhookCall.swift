import Providers
import Synchronization
import Transport

/// One message on its way: a request, and of its answer the head. The answer's body is taken and dropped, within bounds, so that
/// the connection can be used again.
final class WebhookCall: UpstreamReceiver {
    private struct State {
        var session: (any UpstreamSession)?
        var continuation: CheckedContinuation<WebhookOutcome, Never>?
        var head: UpstreamResponseHead?
        var isCancelled = false
    }

    private let state = Mutex(State())

    /// An attempt takes no longer than `total`.
    static let timeouts = UpstreamTimeouts(
        connect: .seconds(5), firstByte: .seconds(15), idle: .seconds(5), total: .seconds(15))
    static let maximumAnswerBytes = 64 << 10

    private init() {}

    /// Whose task is cancelled learns `interrupted`, and the connection is closed.
    static func perform(_ call: UpstreamCall, over transport: any UpstreamTransport) async -> WebhookOutcome {
        let receiver = WebhookCall()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                receiver.begin(call, over: transport, continuation)
            }
        } onCancel: {
            receiver.cancel()
        }
    }

    private func begin(
        _ call: UpstreamCall, over transport: any UpstreamTransport,
        _ continuation: CheckedContinuation<WebhookOutcome, Never>
    ) {
        let isCancelled = self.state.withLock { state in
            if !state.isCancelled { state.continuation = continuation }
            return state.isCancelled
        }
        if isCancelled { return continuation.resume(returning: .failed(.interrupted)) }
        let session = transport.open(self)
        session.send(call, id: UpstreamCallID(0))
        let isOver = self.state.withLock { state in
            if state.continuation != nil { state.session = session }
            return state.continuation == nil
        }
        if isOver { session.close() }
    }

    private func cancel() {
        self.state.withLock { $0.isCancelled = true }
        self.end(.failed(.interrupted))
    }

    private func end(_ outcome: WebhookOutcome) {
        let (session, continuation) = self.state.withLock { ($0.session.take(), $0.continuation.take()) }
        session?.close()
        continuation?.resume(returning: outcome)
    }

    // MARK: From the transport

    func received(head: UpstreamResponseHead, call: UpstreamCallID) { self.state.withLock { $0.head = head } }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {}

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        // Whoever sent a head has decided; how the rest of the answer fares changes nothing.
        if let head = self.state.withLock({ $0.head }) {
            self.end(
                .answered(status: head.status, retryAfterMilliseconds: RetryAfter.milliseconds(head.headers)))
        } else {
            self.end(.failed(.call(failure?.reason ?? .other)))
        }
    }

    func timerFired(_ id: UpstreamTimerID) {}
}
