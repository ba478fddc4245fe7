import ImageGeneration
import Testing

@testable import Admission

/// H5: clocks that are set forward and back. Nobody is locked out beyond one window, nobody has a window for nothing.
@Suite struct ClockTests {
    private static let hour = 3600.0

    /// Passes of `rule` in the order of these moments, one try each.
    private static func passes(_ rule: LimitRule, at moments: [AdmissionTime]) -> [Bool] {
        var table = LimitTable()
        return moments.map { table.charge([LimitCharge(rule, .ann)], at: $0).refusal == nil }
    }

    @Test(arguments: [-hour, hour]) func ratesDoNotGoByTheDate(_ jump: Double) {
        let rule = LimitRule.perMinute(1)
        let passes = Self.passes(rule, at: [.at(0), .at(1, wall: jump), .at(59), .at(60.1), .at(61, wall: -jump)])
        #expect(passes == [true, false, false, true, false])
    }

    /// Should the steady clock itself be set, as that of another machine.
    @Test func aRateWhoseOwnClockGoesBack() {
        let rule = LimitRule.perMinute(60, burst: 3)
        var moments: [AdmissionTime] = [.at(7200), .at(7200), .at(7200), .at(7200)]
        moments += [.at(3600), .at(3600.5), .at(3601.1), .at(3602.2), .at(3602.9)]
        let passes = Self.passes(rule, at: moments)
        #expect(passes == [true, true, true, false, false, false, true, true, false])
    }

    @Test func aRateWhoseOwnClockGoesForwardAndBack() {
        let rule = LimitRule.perMinute(60, burst: 3)
        var table = LimitTable()
        var admitted = 0
        // An hour of tries while the clock jumps to and fro every minute.
        for second in 0..<3600 {
            let jump = second / 60 % 2 == 0 ? 0 : Self.hour
            for _ in 0..<3 where table.charge([LimitCharge(rule, .ann)], at: .at(Double(second) + jump)).refusal == nil
            {
                admitted += 1
            }
        }
        // Each jump forward fills the bucket once; none back does.
        #expect(admitted <= 3600 + 3 + 30 * 3)
        #expect(admitted >= 3600 - 60 * 4)
    }

    private static let day = 86_400.0

    private static func spend(_ table: inout LimitTable, _ rule: LimitRule, at time: AdmissionTime) -> Int {
        var admitted = 0
        while table.charge([LimitCharge(rule, .ann)], at: time).refusal == nil { admitted += 1 }
        return admitted
    }

    @Test func aQuotaWhoseDateGoesBackOverMidnight() {
        var table = LimitTable()
        let rule = LimitRule.perDay(10)
        #expect(Self.spend(&table, rule, at: .at(0, wall: 42_000)) == 10)
        #expect(Self.spend(&table, rule, at: .at(1, wall: 42_000 + Self.hour)) == 10, "the next day")
        #expect(Self.spend(&table, rule, at: .at(2, wall: 42_001)) == 0, "the same day again")
        #expect(Self.spend(&table, rule, at: .at(3, wall: 42_001 + Self.hour)) == 0)
        #expect(Self.spend(&table, rule, at: .at(4, wall: 43_201 + Self.day)) == 10, "the day after")
    }

    @Test func aQuotaWhoseDateWasWrongByAMonth() {
        var table = LimitTable()
        let rule = LimitRule.perDay(10)
        #expect(Self.spend(&table, rule, at: .at(0, wall: 30 * Self.day)) == 10)
        #expect(Self.spend(&table, rule, at: .at(1, wall: 0)) == 0, "nothing for nothing")
        #expect(Self.spend(&table, rule, at: .at(2, wall: Self.day)) == 10, "and locked out for a day at most")
    }

    @Test func aQuotaTellsWhenItsDayEnds() {
        var table = LimitTable()
        let rule = LimitRule.perDay(1)
        _ = table.charge([LimitCharge(rule, .ann)], at: .at(0))
        let standing = table.charge([LimitCharge(rule, .ann)], at: .at(0)).refusal
        #expect(standing?.retryAfter == 43_200_000_000_000)
        #expect(DailyQuota.day(of: Timestamp(milliseconds: -1)) == -1)
        #expect(DailyQuota.day(of: Timestamp(milliseconds: 86_400_000)) == 1)
    }

    @Test func midnightKeysStayForAClockThatIsSetBack() {
        var table = LimitTable(maximumKeys: 1000)
        let rule = LimitRule.perDay(1)
        _ = table.charge([LimitCharge(rule, .ann)], at: .at(0, wall: 43_000))
        for number in 0..<500 {
            _ = table.charge([LimitCharge(rule, LimitSubject(name: "\(number)"))], at: .at(0, wall: 43_300))
        }
        #expect(table.charge([LimitCharge(rule, .ann)], at: .at(0, wall: 43_100)).refusal != nil)
    }
}
