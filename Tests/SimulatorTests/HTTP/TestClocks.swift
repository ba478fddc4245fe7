import Synchronization

@testable import Simulator

/// Never waits: a sleep moves the time to its end and returns.
final class ImpatientClock: Clock, Sendable {
    struct Instant: InstantProtocol {
        var offset: Duration = .zero
        func advanced(by duration: Duration) -> Instant { Instant(offset: self.offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - self.offset }
        static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
    }

    private let current = Mutex(Instant())

    var now: Instant { self.current.withLock { $0 } }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try Task.checkCancellation()
        self.current.withLock { $0 = max($0, deadline) }
    }

    func advance(by duration: Duration) {
        self.current.withLock { $0 = $0.advanced(by: duration) }
    }

    /// The calendar of the tests begins at this moment.
    static let start: Int64 = 1_781_870_400_000

    var time: SimulatorTime {
        SimulatorTime(clock: self, unixMilliseconds: { Self.start + self.now.offset.milliseconds })
    }
}

/// Time stands still: a sleep lasts until it is cancelled, and tells both its beginning and its end.
final class FrozenClock: Clock, Sendable {
    typealias Instant = ContinuousClock.Instant

    let began: AsyncStream<Void>
    let cancelled: AsyncStream<Void>
    private let beginning: AsyncStream<Void>.Continuation
    private let cancelling: AsyncStream<Void>.Continuation
    let now = ContinuousClock.now

    init() {
        (self.began, self.beginning) = AsyncStream.makeStream()
        (self.cancelled, self.cancelling) = AsyncStream.makeStream()
    }

    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        self.beginning.yield()
        let (never, continuation) = AsyncStream<Never>.makeStream()
        for await _ in never {}
        continuation.finish()
        self.cancelling.yield()
        try Task.checkCancellation()
    }

    var time: SimulatorTime { SimulatorTime(clock: self, unixMilliseconds: { ImpatientClock.start }) }
}
