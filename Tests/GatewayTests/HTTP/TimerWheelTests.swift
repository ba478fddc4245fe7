import NIOCore
import NIOEmbedded
import Testing

@testable import Gateway

@Suite struct TimerWheelTests {
    private final class Target: TimerWheelTarget {
        var fired = 0
        private let onFire: (Target) -> Void

        init(onFire: @escaping (Target) -> Void = { _ in }) { self.onFire = onFire }

        func timerFired() {
            self.fired += 1
            self.onFire(self)
        }
    }

    private let eventLoop = EmbeddedEventLoop()

    private func at(_ milliseconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .milliseconds(milliseconds) }

    @Test func firesOnceInItsTickAndNotBefore() {
        let wheel = TimerWheel(self.eventLoop)
        let targets = [Int64(3), 12, 12, 13, 40].map { milliseconds -> Target in
            let target = Target()
            _ = wheel.add(target, at: self.at(milliseconds))
            return target
        }
        let steps: [(until: Int64, fired: [Int])] = [
            (4, [0, 0, 0, 0, 0]), (5, [1, 0, 0, 0, 0]), (14, [1, 0, 0, 0, 0]), (15, [1, 1, 1, 1, 0]),
            (39, [1, 1, 1, 1, 0]), (40, [1, 1, 1, 1, 1]), (900, [1, 1, 1, 1, 1]),
        ]
        for step in steps {
            self.eventLoop.advanceTime(to: self.at(step.until))
            #expect(targets.map(\.fired) == step.fired, "at \(step.until)")
        }
    }

    @Test func removedTimersDoNotFireAndAreLetGo() {
        let wheel = TimerWheel(self.eventLoop)
        var target: Target? = Target()
        weak let held = target
        let other = Target()
        if let target {
            let token = wheel.add(target, at: self.at(30))
            _ = wheel.add(other, at: self.at(30))
            wheel.remove(token)
            wheel.remove(token)
        }
        target = nil
        #expect(held == nil)
        self.eventLoop.advanceTime(to: self.at(100))
        #expect(other.fired == 1)
    }

    /// One that is set while others fire, for sooner than any that waits, is not late; what has fired may be removed.
    @Test func aTimerMaySetTimers() {
        let wheel = TimerWheel(self.eventLoop)
        let waiting = Target()
        _ = wheel.add(waiting, at: self.at(500))
        var token: TimerWheel.Token?
        let repeating = Target { target in
            if let token { wheel.remove(token) }
            if target.fired < 4 { token = wheel.add(target, at: self.eventLoop.now + .milliseconds(25)) }
        }
        token = wheel.add(repeating, at: self.at(25))
        self.eventLoop.advanceTime(to: self.at(100))
        #expect(repeating.fired == 4 && waiting.fired == 0)
        self.eventLoop.advanceTime(to: self.at(500))
        #expect(waiting.fired == 1)
    }
}
