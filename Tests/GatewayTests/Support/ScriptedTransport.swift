import HTTPTypes
import Synchronization
import Transport

/// A transport without sockets or threads: what sessions ask for is written down, and what upstreams do is the test's to say.
final class ScriptedTransport: UpstreamTransport {
    private let opened = Mutex<[ScriptedSession]>([])

    /// In the order they were opened.
    var sessions: [ScriptedSession] { self.opened.withLock { $0 } }

    func open(_ receiver: any UpstreamReceiver) -> any UpstreamSession {
        let session = ScriptedSession(receiver)
        self.opened.withLock { $0.append(session) }
        return session
    }
}

/// One session. Its "thread" is whoever calls ``run()`` and the methods of the upstream's side.
final class ScriptedSession: UpstreamSession {
    private let state: Mutex<State>

    private struct State {
        var receiver: (any UpstreamReceiver)?
        var queue: [@Sendable () -> Void] = []
        var calls: [(id: UpstreamCallID, call: UpstreamCall)] = []
        var open: Set<UpstreamCallID> = []
        var cancelled: [UpstreamCallID] = []
        var paused: Set<UpstreamCallID> = []
        var timers: [UpstreamTimerID: Duration] = [:]
        var closes = 0
    }

    fileprivate init(_ receiver: any UpstreamReceiver) { self.state = Mutex(State(receiver: receiver)) }

    // MARK: What the gateway asks

    func send(_ call: UpstreamCall, id: UpstreamCallID) {
        self.state.withLock {
            $0.calls.append((id, call))
            $0.open.insert(id)
        }
    }

    func cancel(_ id: UpstreamCallID) {
        self.state.withLock {
            if $0.open.remove(id) != nil { $0.cancelled.append(id) }
        }
    }

    func pause(_ id: UpstreamCallID) { self.state.withLock { _ = $0.paused.insert(id) } }

    func resume(_ id: UpstreamCallID) { self.state.withLock { _ = $0.paused.remove(id) } }

    func schedule(_ id: UpstreamTimerID, after delay: Duration) { self.state.withLock { $0.timers[id] = delay } }

    func cancelTimer(_ id: UpstreamTimerID) { self.state.withLock { $0.timers[id] = nil } }

    func execute(_ work: @escaping @Sendable () -> Void) { self.state.withLock { $0.queue.append(work) } }

    func close() {
        let receiver = self.state.withLock { state in
            state.closes += 1
            state.open.removeAll()
            state.timers.removeAll()
            return state.receiver.take()
        }
        withExtendedLifetime(receiver) {}
    }

    // MARK: What the test sees

    var calls: [UpstreamCall] { self.state.withLock { $0.calls.map(\.call) } }
    var openCalls: Set<UpstreamCallID> { self.state.withLock { $0.open } }
    var cancelledCalls: [UpstreamCallID] { self.state.withLock { $0.cancelled } }
    var pausedCalls: Set<UpstreamCallID> { self.state.withLock { $0.paused } }
    var timers: [UpstreamTimerID: Duration] { self.state.withLock { $0.timers } }
    var closeCount: Int { self.state.withLock { $0.closes } }
    var isClosed: Bool { self.closeCount > 0 }

    // MARK: What the test says

    /// Does what was given to ``execute(_:)``, until there is nothing more.
    func run() {
        while let work = self.state.withLock({ $0.queue.isEmpty ? nil : $0.queue.removeFirst() }) { work() }
    }

    func sending(call: Int = 0) { self.report(call) { $0.sending(call: $1) } }

    func respond(_ status: Int, headers: HTTPFields = [.contentType: "text/event-stream"], call: Int = 0) {
        self.report(call) { $0.received(head: UpstreamResponseHead(status: status, headers: headers), call: $1) }
    }

    func bring(_ text: String, call: Int = 0) {
        self.report(call) { receiver, id in
            Array(text.utf8).withUnsafeBytes { receiver.received(bytes: $0, call: id) }
        }
    }

    func end(_ failure: UpstreamFailure? = nil, call: Int = 0) {
        self.report(call) { receiver, id in
            self.state.withLock { _ = $0.open.remove(id) }
            receiver.ended(call: id, failure: failure)
        }
    }

    /// - Returns: whether the timer was set.
    @discardableResult
    func fire(_ timer: Int) -> Bool {
        let (receiver, wasSet) = self.state.withLock {
            ($0.receiver, $0.timers.removeValue(forKey: UpstreamTimerID(timer)) != nil)
        }
        guard wasSet, let receiver else { return false }
        receiver.timerFired(UpstreamTimerID(timer))
        self.run()
        return true
    }

    private func report(_ call: Int, _ body: (any UpstreamReceiver, UpstreamCallID) -> Void) {
        let id = UpstreamCallID(call)
        let receiver = self.state.withLock { $0.open.contains(id) ? $0.receiver : nil }
        if let receiver { body(receiver, id) }
        self.run()
    }
}
