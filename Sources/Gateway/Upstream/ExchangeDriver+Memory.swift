import ImageGeneration
import Storage
import Transport

// What an upstream sends is counted before it is gathered, and waited for where there is no memory.

extension ExchangeDriver {
    /// How long an upstream is kept waiting for memory: by then every client that takes nothing has been closed.
    private static let roomGrace = Duration.seconds(30)

    /// Asks for memory ahead of what comes next; the upstream is not read from until there is some.
    func makeRoom(_ bytes: Int, for call: UpstreamCallID) {
        guard !self.isExchangeOver, let session = self.session else { return }
        if self.leases.paused.isEmpty {
            let isGranted = self.leases.room.grow(to: bytes) { [weak self] granted in
                session.execute { [weak self] in self?.roomAnswered(granted) }
            }
            if isGranted { return }
            session.schedule(OwnTimer.room, after: Self.roomGrace)
        }
        self.leases.pauses(call)
        session.pause(call)
    }

    func roomAnswered(_ granted: Bool) {
        guard let session = self.session, !self.isExchangeOver, !self.assembler.isOver, !self.leases.paused.isEmpty
        else {
            return
        }
        session.cancelTimer(OwnTimer.room)
        guard granted else {
            self.perform(
                self.assembler.finish(
                    GatewayError(
                        .overloaded, "The gateway holds as much as it may.", billed: .maybe,
                        retryAfterMilliseconds: 2000), now: self.environment.now()))
            return self.tellUpstream()
        }
        for call in self.leases.takePaused() { session.resume(call) }
    }
}
