/// What a session has under way. Touched on its transport thread only.
final class SessionState {
    private(set) var receiver: (any UpstreamReceiver)?
    var calls: [UpstreamCallID: CurlCall] = [:]
    var timers: [UpstreamTimerID: TimerHeap<TimerTarget>.Token] = [:]

    init(receiver: any UpstreamReceiver) {
        self.receiver = receiver
    }

    /// Gives the receiver back once; nil afterwards.
    func letReceiverGo() -> (any UpstreamReceiver)? { self.receiver.take() }
}
