import Testing

@testable import Gateway

/// When an issuer's keys are fetched, by a clock that the test sets.
struct KeySetScheduleTests {
    /// The seconds after `start` at which a fetch is due, up to `end`; each goes as `fetch` says.
    private func fetches(
        _ schedule: inout KeySetSchedule, from start: Int64, to end: Int64,
        _ fetch: (inout KeySetSchedule, Int64) -> Void, meanwhile: (inout KeySetSchedule, Int64) -> Void = { _, _ in }
    ) -> [Int64] {
        var times: [Int64] = []
        for now in start...end {
            if schedule.isDue(at: now) {
                times.append(now)
                fetch(&schedule, now)
            }
            meanwhile(&schedule, now)
        }
        return times
    }

    @Test func keysAreFetchedAtOnceAndThenRegularly() {
        var schedule = KeySetSchedule(now: 0)
        let times = self.fetches(&schedule, from: 0, to: 1000, { $0.succeeded(at: $1) })
        #expect(times == [0, 300, 600, 900])
    }

    @Test func aFloodOfUnknownKeysFetchesOnceAMinute() {
        var schedule = KeySetSchedule(now: 0)
        let times = self.fetches(
            &schedule, from: 0, to: 200, { $0.succeeded(at: $1) },
            meanwhile: { schedule, now in for _ in 0..<1000 { schedule.missed(at: now) } })
        #expect(times == [0, 60, 120, 180])
    }

    @Test func aNewKeyIsFoundWithinAMinute() {
        for miss in [1, 59, 60, 61, 299] as [Int64] {
            var schedule = KeySetSchedule(now: 0)
            schedule.succeeded(at: 0)
            schedule.missed(at: miss)
            let times = self.fetches(&schedule, from: miss, to: 400, { $0.succeeded(at: $1) })
            #expect(times.first == max(60, miss))
        }
    }

    @Test func whoDoesNotAnswerIsAskedEverMoreRarely() {
        var schedule = KeySetSchedule(now: 0)
        let first = self.fetches(
            &schedule, from: 0, to: 250, { $0.failed(at: $1) }, meanwhile: { $0.missed(at: $1) })
        #expect(first == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243])
        schedule.succeeded(at: 300)
        let later = self.fetches(
            &schedule, from: 300, to: 4000, { $0.failed(at: $1) }, meanwhile: { $0.missed(at: $1) })
        #expect(later == [360, 420, 540, 780, 1260, 1860, 2460, 3060, 3660])
    }
}
