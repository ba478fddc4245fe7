import ImageGeneration
import Testing

@testable import Admission

@Suite struct LimitTableTests {
    private static let requests = LimitRule.perMinute(60, burst: 2)
    private static let images = LimitRule.perDay(10)
    private static let jobs = LimitRule.concurrent(2)

    /// One job: a request, some images, a permit.
    private static func job(_ subject: LimitSubject = .ann, images: Int64 = 1) -> [LimitCharge] {
        [
            LimitCharge(requests, subject), LimitCharge(Self.images, subject, quantity: images),
            LimitCharge(jobs, subject),
        ]
    }

    private static func remaining(_ table: LimitTable, _ subject: LimitSubject = .ann, at: AdmissionTime) -> [Int64] {
        var copy = table
        let looks = [requests, images].map { LimitCharge($0, subject, quantity: 0) }
        return copy.charge(looks, at: at).standings.map(\.remaining) + [Int64(table.permits)]
    }

    @Test func chargesAllRulesOfAJob() {
        var table = LimitTable()
        let decision = table.charge(Self.job(images: 3), at: .at(0))
        #expect(decision.refusal == nil)
        #expect(decision.standings.map(\.remaining) == [1, 7, 1])
        #expect(decision.items.count == 3)
        #expect(Self.remaining(table, at: .at(0)) == [1, 7, 1])
        #expect(Self.remaining(table, .bob, at: .at(0)) == [2, 10, 1])
    }

    /// Which rule refuses, and that nothing at all was charged then.
    @Test(arguments: [0, 1, 2]) func chargesNothingWhereOneRefuses(_ which: Int) {
        var table = LimitTable()
        switch which {
        case 0: _ = table.charge([LimitCharge(Self.requests, .ann, quantity: 2)], at: .at(0))
        case 1: _ = table.charge([LimitCharge(Self.images, .ann, quantity: 10)], at: .at(0))
        default: for _ in 0..<2 { _ = table.charge([LimitCharge(Self.jobs, .ann)], at: .at(0)) }
        }
        let before = Self.remaining(table, at: .at(0))
        let decision = table.charge(Self.job(), at: .at(0))
        #expect(decision.refusal?.rule === [Self.requests, Self.images, Self.jobs][which])
        #expect(decision.items.isEmpty)
        #expect(Self.remaining(table, at: .at(0)) == before)
    }

    @Test func ofSeveralRefusalsTheLongestWaitIsTold() {
        var table = LimitTable()
        let slow = LimitRule.perMinute(1, measure: .images, policy: "slow")
        let rules = [Self.jobs, slow, Self.requests]
        for rule in rules { while table.charge([LimitCharge(rule, .ann)], at: .at(0)).refusal == nil {} }
        for order in [rules, rules.reversed()] {
            let decision = table.charge(order.map { LimitCharge($0, .ann) }, at: .at(0))
            #expect(decision.refusal?.rule === slow)
            #expect(decision.refusal?.retryAfter == 60_000_000_000)
        }
    }

    @Test(arguments: [
        (LimitRefund.nothing, [Int64(1), 7, 0]), (.work, [1, 10, 0]), (.everything, [2, 10, 0]),
    ]) func settlesAsAsked(_ refund: LimitRefund, _ expected: [Int64]) {
        var table = LimitTable()
        let decision = table.charge(Self.job(images: 3), at: .at(0))
        table.settle(decision.items, refund: refund)
        #expect(Self.remaining(table, at: .at(0)) == expected)
    }

    @Test func aRefundAfterMidnightGoesToItsDay() {
        var table = LimitTable()
        let evening = table.charge([LimitCharge(Self.images, .ann, quantity: 4)], at: .at(0))
        let morning = table.charge([LimitCharge(Self.images, .ann, quantity: 3)], at: .at(50_000))
        #expect(morning.standings[0].remaining == 7)
        table.settle(evening.items, refund: .everything)
        #expect(Self.remaining(table, at: .at(50_000))[1] == 7)
        #expect(Self.remaining(table, at: .at(0))[1] == 10)
    }

    /// A refund never fills a bucket over its brim.
    @Test func aLateRefundGivesNoSecondBurst() {
        var table = LimitTable()
        let first = table.charge([LimitCharge(Self.requests, .ann, quantity: 2)], at: .at(0))
        _ = table.charge([LimitCharge(Self.requests, .ann, quantity: 2)], at: .at(100))
        table.settle(first.items, refund: .everything)
        #expect(Self.remaining(table, at: .at(100))[0] == 2)
        table.settle(first.items, refund: .everything)
        #expect(Self.remaining(table, at: .at(100))[0] == 2)
    }

    // MARK: Shadow

    @Test func shadowRulesCountAndLetPass() {
        var table = LimitTable()
        let watching = [LimitRule.perMinute(1, shadow: true), LimitRule.concurrent(1, shadow: true)]
        for round in 0..<3 {
            let decision = table.charge(watching.map { LimitCharge($0, .ann) }, at: .at(0))
            #expect(decision.refusal == nil)
            #expect(decision.standings.map(\.isLimited) == [round > 0, round > 0])
        }
        #expect(table.permits == 3)
        // What was let pass in spite of the rate is not owed later.
        #expect(table.charge([LimitCharge(watching[0], .ann)], at: .at(60)).standings[0].isLimited == false)
    }

    // MARK: Room

    @Test func forgetsOnlyWhatIsAsGoodAsNew() {
        var table = LimitTable(maximumKeys: 100)
        let held = LimitSubject(name: "held")
        let permit = table.charge([LimitCharge(Self.jobs, held)], at: .at(0))
        for number in 0..<2000 {
            let subject = LimitSubject(name: "\(number)")
            let decision = table.charge([LimitCharge(Self.requests, subject, quantity: 2)], at: .at(Double(number)))
            #expect(decision.refusal == nil)
        }
        #expect(table.count <= 101)
        #expect(table.charge([LimitCharge(Self.jobs, held)], at: .at(2000)).standings.map(\.remaining) == [0])
        #expect(table.charge([LimitCharge(Self.jobs, held)], at: .at(2000)).refusal != nil)
        table.settle(permit.items, refund: .nothing)
    }

    @Test func aFullTableCountsNewcomersTogether() {
        var table = LimitTable(maximumKeys: 10)
        for number in 0..<10 {
            _ = table.charge([LimitCharge(Self.requests, LimitSubject(name: "\(number)"), quantity: 2)], at: .at(0))
        }
        let newcomers = (0..<5).map { LimitSubject(name: "new \($0)") }
        let admitted = newcomers.filter { table.charge([LimitCharge(Self.requests, $0)], at: .at(0)).refusal == nil }
        #expect(admitted.count == 2, "they share one burst")
        #expect(table.count == 11)
        for number in 0..<10 {
            let known = LimitCharge(Self.requests, LimitSubject(name: "\(number)"))
            #expect(table.charge([known], at: .at(0)).refusal != nil, "nobody was forgotten")
        }
        #expect(table.charge([LimitCharge(Self.requests, newcomers[0])], at: .at(10)).refusal == nil)
    }

    @Test func shrinksWhileItIsUsed() {
        var table = LimitTable()
        for number in 0..<1000 {
            _ = table.charge([LimitCharge(Self.requests, LimitSubject(name: "\(number)"))], at: .at(0))
        }
        for number in 0..<1000 {
            _ = table.charge([LimitCharge(Self.requests, LimitSubject(name: "n\(number)"))], at: .at(100))
        }
        #expect(table.count < 1200)
    }

    // MARK: Identity over reloads

    @Test func aRuleThatReadsTheSameGoesOn() {
        var table = LimitTable()
        let job = table.charge([LimitCharge(Self.requests, .ann), LimitCharge(Self.jobs, .ann)], at: .at(0))
        let same = [LimitRule.perMinute(60, burst: 2), LimitRule.concurrent(5)]
        let next = table.charge(same.map { LimitCharge($0, .ann) }, at: .at(0))
        #expect(next.standings.map(\.remaining) == [0, 3])
        let other = [LimitRule.perMinute(61, burst: 2), LimitRule.perMinute(60, burst: 2, policy: "q")]
        let fresh = table.charge(other.map { LimitCharge($0, .ann) }, at: .at(0))
        #expect(fresh.standings.map(\.remaining) == [1, 1])
        table.settle(job.items, refund: .nothing)
        table.settle(next.items, refund: .nothing)
        #expect(table.permits == 0)
    }

    @Test func namesTellRulesApart() {
        let cost = CellRate(count: 5000, period: 3_600_000_000_000, burst: 5000)
        let rule = LimitRule(policy: "gold", scope: .claim("tenant"), measure: .cost, quota: .rate(cost))
        #expect(rule.name == "gold.cost.claim:tenant.hour")
        #expect(rule.quantity == 5 && rule.window == 3600 && rule.heaviest == 5000)
        #expect(Self.images.name == "p.images.token.day" && Self.images.window == 86_400)
        #expect(Self.jobs.name == "p.concurrent.token" && Self.jobs.window == nil)
    }
}
