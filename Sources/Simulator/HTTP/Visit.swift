/// One request's stay: waiting that ends at once when the client leaves.
struct Visit: Sendable {
    let time: SimulatorTime
    let presence: ClientPresence

    var now: Int64 { self.time.unixMilliseconds() }

    /// - Throws: ``ClientGone`` or `CancellationError`, at once when the client leaves or the simulator stops.
    func pause(for duration: Duration) async throws {
        if self.presence.isGone { throw ClientGone() }
        guard duration > .zero else { return }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.time.clock.sleep(for: duration) }
            group.addTask { try await self.stall() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Waits for a moment of the calendar; not at all when it has passed.
    func pause(until unixMilliseconds: Int64) async throws {
        try await self.pause(for: .milliseconds(unixMilliseconds - self.now))
    }

    /// Waits until the client leaves, and throws then.
    func stall() async throws {
        await self.presence.waitUntilGone()
        try Task.checkCancellation()
        throw ClientGone()
    }
}
