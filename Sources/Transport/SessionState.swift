/// What a session has under way. Touched on its transport thread only.
final class SessionState {
    private(set) var receiver: (any UpstreamReceiver)?
    var calls: [UpstreamCallID: CurlCall] = [:]
    /// A handful at most.
    private var timers: [(id: UpstreamTimerID, token: TimerHeap<TimerTarget>.Token)] = []

    init(receiver: any UpstreamReceiver) {
        self.receiver = receiver
    }

    func timer(_ id: UpstreamTimerID) -> TimerHeap<TimerTarget>.Token? { self.timers.first { $0.id == id }?.token }

    func setTimer(_ id: UpstreamTimerID, _ token: TimerHeap<TimerTarget>.Token) {
        self.removeTimer(id)
        self.timers.append((id, token))
    }

    @discardableResult
    func removeTimer(_ id: UpstreamTimerID) -> TimerHeap<TimerTarget>.Token? {
        self.timers.firstIndex { $0.id == id }.map { self.timers.remove(at: $0).token }
    }

    func removeTimers() -> [TimerHeap<TimerTarget>.Token] {
        defer { self.timers = [] }
        return self.timers.map(\.token)
    }

    /// Gives the receiver back once; nil afterwards.
    func letReceiverGo() -> (any UpstreamReceiver)? { self.receiver.take() }
}
