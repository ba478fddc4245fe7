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
        if let (loop, state) = self.here {
            loop.register(state)
        } else {
            self.post { loop, state in loop.register(state) }
        }
    }

    func send(_ call: UpstreamCall, id: UpstreamCallID) {
        let thread = self.thread
        if let (loop, state) = self.here { return loop.send(call, id: id, session: state, thread: thread) }
        self.post { loop, state in loop.send(call, id: id, session: state, thread: thread) }
    }

    func cancel(_ id: UpstreamCallID) {
        if let (loop, state) = self.here { return loop.cancel(id, session: state) }
        self.post { loop, state in loop.cancel(id, session: state) }
    }

    func pause(_ id: UpstreamCallID) {
        if let (_, state) = self.here {
            state.calls[id]?.pause()
        } else {
            self.post { _, state in state.calls[id]?.pause() }
        }
    }

    func resume(_ id: UpstreamCallID) {
        if let (_, state) = self.here {
            state.calls[id]?.resume()
        } else {
            self.post { _, state in state.calls[id]?.resume() }
        }
    }

    func schedule(_ id: UpstreamTimerID, after delay: Duration) {
        if let (loop, state) = self.here { return loop.schedule(id, after: delay, session: state) }
        self.post { loop, state in loop.schedule(id, after: delay, session: state) }
    }

    func cancelTimer(_ id: UpstreamTimerID) {
        if let (loop, state) = self.here { return loop.cancelTimer(id, session: state) }
        self.post { loop, state in loop.cancelTimer(id, session: state) }
    }

    func execute(_ work: @escaping @Sendable () -> Void) {
        self.thread.post { _ in work() }
    }

    func close() {
        if let (loop, state) = self.here { return loop.close(state) }
        self.post { loop, state in loop.close(state) }
    }

    /// On the session's own thread: what can be asked at once, without a closure that would be kept.
    private var here: (TransportLoop, SessionState)? {
        self.thread.currentLoop.map { ($0, self.state.value(on: self.thread)) }
    }

    private func post(_ work: @escaping @Sendable (TransportLoop, SessionState) -> Void) {
        let thread = self.thread
        let state = self.state
        thread.post { loop in work(loop, state.value(on: thread)) }
    }
}
