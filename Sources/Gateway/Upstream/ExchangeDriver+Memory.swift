import ImageGeneration
import NIOCore
import Storage
import Transport

// The memory of what an upstream sends: counted before it is gathered, and waited for where there is none.

extension ExchangeDriver {
    /// How long an upstream is kept waiting for memory: by then every client that takes nothing has been closed.
    private static let roomGrace = Duration.seconds(30)

    /// What the payload's memory is counted by from now on; it was counted as gathered before.
    func lease(_ payload: ByteBuffer, isPrecious: Bool) -> PayloadLease? {
        let storage = payload.withUnsafeReadableBytesWithStorageManagement { _, storage in
            ObjectIdentifier(storage.takeUnretainedValue())
        }
        if let shared = self.shared, shared.storage == storage { return shared.lease }
        self.gathered.expect(payload.storageCapacity)
        guard let lease = self.room.turn(into: payload.storageCapacity, isPrecious: isPrecious) else { return nil }
        self.shared = (storage, lease)
        return lease
    }

    /// Asks for memory ahead of what comes next; the upstream is not read from until there is some.
    func makeRoom(_ bytes: Int, for call: UpstreamCallID) {
        guard !self.isExchangeOver, let session = self.session else { return }
        if self.paused.isEmpty {
            let isGranted = self.room.grow(to: bytes) { [weak self] granted in
                session.execute { [weak self] in self?.roomAnswered(granted) }
            }
            if isGranted { return }
            session.schedule(OwnTimer.room, after: Self.roomGrace)
        }
        self.paused.insert(call.rawValue)
        session.pause(call)
    }

    func roomAnswered(_ granted: Bool) {
        guard let session = self.session, !self.isExchangeOver, !self.paused.isEmpty else { return }
        session.cancelTimer(OwnTimer.room)
        guard granted else {
            self.perform(
                self.assembler.finish(
                    GatewayError(
                        .overloaded, "The gateway holds as much as it may.", billed: .maybe,
                        retryAfterMilliseconds: 2000), now: self.environment.now()))
            self.tellUpstream()
            return self.room.release()
        }
        for call in self.paused { session.resume(UpstreamCallID(call)) }
        self.paused = []
    }
}
