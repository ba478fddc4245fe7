import NIOCore
import Synchronization
import Transport

/// One call of the gateway's own, apart from any job: a request, and its answer when it is whole.
final class AwaitedCall: UpstreamReceiver {
    struct Answer: Sendable {
        /// Nil where none came.
        var head: UpstreamResponseHead?
        /// Empty where it is not asked for.
        var body = ByteBuffer()
        var failure: UpstreamFailure?
    }

    private struct State {
        var session: (any UpstreamSession)?
        var continuation: CheckedContinuation<Answer?, Never>?
        var answer = Answer()
        var isCancelled = false
    }

    private let keepsBody: Bool
    private let state = Mutex(State())

    private init(keepsBody: Bool) { self.keepsBody = keepsBody }

    /// - Parameter keepsBody: otherwise the body is taken, within the call's bounds, so that the connection can be used again, and
    ///   dropped.
    /// - Returns: nil where the task is cancelled; the connection is closed then.
    static func perform(
        _ call: UpstreamCall, over transport: any UpstreamTransport, keepsBody: Bool
    ) async -> Answer? {
        let receiver = AwaitedCall(keepsBody: keepsBody)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { receiver.begin(call, over: transport, $0) }
        } onCancel: {
            receiver.cancel()
        }
    }

    private func begin(
        _ call: UpstreamCall, over transport: any UpstreamTransport, _ continuation: CheckedContinuation<Answer?, Never>
    ) {
        let isCancelled = self.state.withLock { state in
            if !state.isCancelled { state.continuation = continuation }
            return state.isCancelled
        }
        if isCancelled { return continuation.resume(returning: nil) }
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
        self.end(nil)
    }

    private func end(_ answer: Answer?) {
        let (session, continuation) = self.state.withLock { ($0.session.take(), $0.continuation.take()) }
        session?.close()
        continuation?.resume(returning: answer)
    }

    // MARK: From the transport

    func received(head: UpstreamResponseHead, call: UpstreamCallID) { self.state.withLock { $0.answer.head = head } }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {
        guard self.keepsBody else { return }
        self.state.withLock { _ = $0.answer.body.writeBytes(bytes) }
    }

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        self.end(
            self.state.withLock { state in
                state.answer.failure = failure
                return state.answer
            })
    }

    func timerFired(_ id: UpstreamTimerID) {}
}
