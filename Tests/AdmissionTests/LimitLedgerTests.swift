import ImageGeneration
import Testing

@testable import Admission

@Suite struct LimitLedgerTests {
    @Test func aReceiptSettlesOnce() async throws {
        let ledger = MemoryLimitLedger()
        let rule = LimitRule.concurrent(2)
        let items = try await ledger.charge([LimitCharge(rule, .ann)], at: .at(0)).items
        _ = try await ledger.charge([LimitCharge(rule, .ann)], at: .at(0))
        let receipt = LimitReceipt(items, ledger: ledger)
        #expect(ledger.gauge.permits == 2)
        receipt.settle(.everything)
        receipt.settle(.everything)
        #expect(ledger.gauge.permits == 1)
    }

    @Test func aLostReceiptSettlesItself() async throws {
        let ledger = MemoryLimitLedger()
        let charges = [LimitCharge(LimitRule.concurrent(2), .ann), LimitCharge(LimitRule.perMinute(1), .ann)]
        do {
            let receipt = LimitReceipt(try await ledger.charge(charges, at: .at(0)).items, ledger: ledger)
            receipt.add([])
        }
        #expect(ledger.gauge.permits == 0)
        #expect(try await ledger.charge(charges, at: .at(0)).refusal != nil, "its request stays counted")
    }

    @Test func countsRefusals() async throws {
        let ledger = MemoryLimitLedger()
        let strict = LimitRule.perMinute(1)
        let watching = LimitRule.perMinute(1, policy: "watching", shadow: true)
        for _ in 0..<3 { _ = try await ledger.charge([LimitCharge(strict, .ann)], at: .at(0)) }
        for _ in 0..<4 { _ = try await ledger.charge([LimitCharge(watching, .ann)], at: .at(0)) }
        var expected = LimitGauge()
        (expected.keys, expected.refused, expected.shadowRefused) = (2, 2, 3)
        #expect(ledger.gauge == expected)
    }

    /// A job that runs already counts, whatever the rule says by now.
    @Test func permitsOfRunningJobsAreHeldInAnyCase() async throws {
        let ledger = MemoryLimitLedger()
        let charges = [LimitCharge(LimitRule.concurrent(1), .ann)]
        var receipts: [LimitReceipt] = []
        for _ in 0..<3 {
            receipts.append(LimitReceipt(try await ledger.hold(charges, at: .at(0)), ledger: ledger))
        }
        #expect(ledger.gauge.permits == 3)
        #expect(try await ledger.charge(charges, at: .at(0)).refusal != nil)
        for receipt in receipts { receipt.settle(.nothing) }
        #expect(ledger.gauge.permits == 0)
        #expect(try await ledger.charge(charges, at: .at(0)).refusal == nil)
    }

    /// Many at once against one rule: never more than it says, and none left over.
    @Test func holdsUnderContention() async throws {
        let ledger = MemoryLimitLedger()
        let rules = [LimitRule.concurrent(5), LimitRule.perMinute(200, burst: 100)]
        let admitted = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<1000 {
                group.addTask {
                    let decision = try await ledger.charge(rules.map { LimitCharge($0, .ann) }, at: .at(0))
                    guard decision.refusal == nil else { return false }
                    #expect(ledger.gauge.permits <= 5)
                    LimitReceipt(decision.items, ledger: ledger).settle(.nothing)
                    return true
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(admitted <= 100)
        #expect(ledger.gauge.permits == 0)
    }

    @Test func subjectsOfDifferentNamesDiffer() {
        #expect(LimitSubject(name: "ann") != LimitSubject(name: "bob"))
        #expect(LimitSubject(name: "ann") == LimitSubject(name: "ann"))
        #expect(LimitSubject(name: "") != .everybody && LimitSubject(name: "") != .crowd)
    }
}
