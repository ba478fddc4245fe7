/// A session on one thread of ``CurlTransport``.
///
/// From a callback of its receiver every method takes effect at once: after `cancel` or `close` no callback of what was
/// cancelled comes, not even when it was asked for inside that call's own callback. `send` reports nothing before it
/// returns. A session holds its receiver until `close` or the transport's shutdown.
final class CurlSession: UpstreamSession {
    private let thread: TransportThread
    private let state: ThreadConfined<SessionState>

    init(_ thread: TransportThread, receiver: any UpstreamReceiver) {
        self.thread = thread
        self.state = ThreadConfined(SessionState(receiver: receiver))
        thread.counters.openSessions.increase()
        self.perform { loop, state in loop.register(state) }
    }

    func send(_ call: UpstreamCall, id: UpstreamCallID) {
        let thread = self.thread
        self.perform { loop, state in loop.send(call, id: id, session: state, thread: thread) }
    }

    func cancel(_ id: UpstreamCallID) {
        self.perform { loop, state in loop.cancel(id, session: state) }
    }

    func pause(_ id: UpstreamCallID) {
        self.perform { _, state in state.calls[id]?.pause() }
    }

    func resume(_ id: UpstreamCallID) {
        self.perform { _, state in state.calls[id]?.resume() }
    }

    func schedule(_ id: UpstreamTimerID, after delay: Duration) {
        self.perform { loop, state in loop.schedule(id, after: delay, session: state) }
    }

    func cancelTimer(_ id: UpstreamTimerID) {
        self.perform { loop, state in loop.cancelTimer(id, session: state) }
    }

    func execute(_ work: @escaping @Sendable () -> Void) {
        self.thread.post { _ in work() }
    }

    func close() {
        self.perform { loop, state in loop.close(state) }
    }

    private func perform(_ work: @escaping @Sendable (TransportLoop, SessionState) -> Void) {
        let thread = self.thread
        let state = self.state
        thread.perform { loop in work(loop, state.value(on: thread)) }
    }
}
