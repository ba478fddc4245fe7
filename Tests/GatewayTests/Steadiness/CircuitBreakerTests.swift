import Testing

@testable import Gateway

@Suite struct CircuitBreakerTests {
    private func breaker(failures: Int = 3) -> CircuitBreaker {
        CircuitBreaker(.init(failures: failures, openMilliseconds: 5000))
    }

    @Test func itOpensAfterFailuresInARow() {
        let breaker = Box(self.breaker())
        #expect(!breaker({ $0.failed(isProbe: false, now: 0) }))
        #expect(!breaker({ $0.failed(isProbe: false, now: 1) }))
        breaker({ $0.succeeded() })
        #expect(!breaker({ $0.failed(isProbe: false, now: 2) }))
        #expect(!breaker({ $0.failed(isProbe: false, now: 3) }))
        #expect(breaker({ $0.failed(isProbe: false, now: 4) }))
        #expect(breaker({ $0.admit(now: 5) }) == .refused(retryAfter: 4999))
        #expect(breaker({ $0.admit(now: 5003) }) == .refused(retryAfter: 1))
    }

    @Test func anAcceptedJobDoesNotMakeUpForFailures() {
        let breaker = Box(self.breaker())
        for now in 0..<2 { breaker({ $0.failed(isProbe: false, now: Int64(now)) }) }
        breaker({ $0.accepted() })
        #expect(breaker({ $0.failed(isProbe: false, now: 2) }))
    }

    @Test func oneJobTriesAndDecidesForAll() {
        let breaker = Box(self.breaker(failures: 1))
        #expect(breaker({ $0.failed(isProbe: false, now: 0) }))
        #expect(breaker({ $0.admit(now: 5000) }) == .probe)
        #expect(breaker({ $0.admit(now: 5000) }) == .refused(retryAfter: 1000))
        #expect(breaker({ $0.failed(isProbe: true, now: 6000) }))
        #expect(breaker({ $0.admit(now: 10_999) }) == .refused(retryAfter: 1))
        #expect(breaker({ $0.admit(now: 11_000) }) == .probe)
        breaker({ $0.accepted() })
        #expect(breaker({ $0.admit(now: 11_001) }) == .pass)
    }

    @Test func aProbeThatSaysNothingMakesRoomForAnother() {
        let breaker = Box(self.breaker(failures: 1))
        breaker({ $0.failed(isProbe: false, now: 0) })
        #expect(breaker({ $0.admit(now: 5000) }) == .probe)
        breaker({ $0.probeLeft() })
        #expect(breaker({ $0.admit(now: 5001) }) == .probe)
    }

    @Test func lateFailuresDoNotKeepItOpenLonger() {
        let breaker = Box(self.breaker(failures: 1))
        #expect(breaker({ $0.failed(isProbe: false, now: 0) }))
        #expect(!breaker({ $0.failed(isProbe: false, now: 4000) }))
        #expect(breaker({ $0.admit(now: 5000) }) == .probe)
    }

    @Test func withoutABoundItNeverOpens() {
        let breaker = Box(self.breaker(failures: 0))
        for now in 0..<100 { #expect(!breaker({ $0.failed(isProbe: false, now: Int64(now)) })) }
        #expect(breaker({ $0.admit(now: 100) }) == .pass)
    }
}

@Suite struct RetryBudgetTests {
    @Test func aFewAreAlwaysAllowed() {
        let budget = Box(RetryBudget())
        let taken = (0..<10).map { _ in budget({ $0.takeRetry(now: 500) }) }
        #expect(taken.filter(\.self).count == RetryBudget.floor)
    }

    @Test(arguments: [20, 50, 500]) func retriesStayAFifthOfTheCalls(calls: Int) {
        let budget = Box(RetryBudget())
        for call in 0..<calls { budget({ $0.noteCall(now: Int64(call * 8000 / calls)) }) }
        var taken = 0
        while budget({ $0.takeRetry(now: 8000) }) { taken += 1 }
        #expect(taken == max(RetryBudget.floor, calls / 5))
    }

    @Test func whatIsTenSecondsOldIsForgotten() {
        let budget = Box(RetryBudget())
        for _ in 0..<100 { budget({ $0.noteCall(now: 0) }) }
        for _ in 0..<20 { #expect(budget({ $0.takeRetry(now: 900) })) }
        #expect(!budget({ $0.takeRetry(now: 9999) }))
        #expect(budget({ $0.takeRetry(now: 10_000) }))
    }
}
