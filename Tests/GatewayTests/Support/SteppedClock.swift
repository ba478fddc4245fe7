import Synchronization

/// Time passes only when the test says so.
final class SteppedClock: Clock, Sendable {
    struct Instant: InstantProtocol {
        var offset: Duration = .zero
        func advanced(by duration: Duration) -> Instant { Instant(offset: self.offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - self.offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private struct State {
        var now = Instant()
        var sleepers: [(deadline: Instant, end: AsyncStream<Void>.Continuation)] = []
    }

    private let state = Mutex(State())

    var now: Instant { self.state.withLock { $0.now } }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let (ends, end) = AsyncStream.makeStream(of: Void.self)
        let isOver = self.state.withLock { state in
            if state.now < deadline { state.sleepers.append((deadline, end)) }
            return state.now >= deadline
        }
        if !isOver { for await _ in ends { break } }
        try Task.checkCancellation()
    }

    func advance(by duration: Duration) {
        let over = self.state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let now = state.now
            defer { state.sleepers.removeAll { $0.deadline <= now } }
            return state.sleepers.filter { $0.deadline <= now }
        }
        for sleeper in over { sleeper.end.yield() }
    }
}
