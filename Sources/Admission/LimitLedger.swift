package import ImageGeneration
import Synchronization

/// Where use is counted: in this process, or somewhere that several share.
package protocol LimitLedger: Sendable {
    /// Checks all charges, then makes all of them or none, as one step for each place that holds keys.
    /// - Throws: `storage_unavailable` where the ledger cannot be reached.
    func charge(_ charges: [LimitCharge], at time: AdmissionTime) async throws(GatewayError) -> LimitDecision

    /// Counts the permits of a job that runs already, whatever the rules say.
    /// - Throws: `storage_unavailable` where the ledger cannot be reached.
    func hold(_ permits: [LimitCharge], at time: AdmissionTime) async throws(GatewayError) -> [LimitItem]

    /// Gives permits back, and charges as far as `refund` says. Called once for what a decision charged.
    func settle(_ items: [LimitItem], refund: LimitRefund)

    var gauge: LimitGauge { get }
}

/// What a ledger holds at this moment, and what it has done.
package struct LimitGauge: Hashable, Sendable {
    /// Subjects counted apart.
    package var keys = 0
    /// Permits held by jobs.
    package var permits = 0
    /// Refusals since the start.
    package var refused = 0
    /// Jobs since the start that a rule in shadow mode would have refused.
    package var shadowRefused = 0

    package init() {}
}

/// Counts in this process's memory; what was used is forgotten when it ends.
package final class MemoryLimitLedger: LimitLedger {
    private let state: Mutex<State>

    private struct State: Sendable {
        var table: LimitTable
        var refused = 0
        var shadowRefused = 0
    }

    package init(_ table: LimitTable = LimitTable()) { self.state = Mutex(State(table: table)) }

    package func charge(_ charges: [LimitCharge], at time: AdmissionTime) async throws(GatewayError) -> LimitDecision {
        self.state.withLock { state in
            let decision = state.table.charge(charges, at: time)
            if decision.refusal != nil {
                state.refused += 1
            } else if decision.standings.contains(where: \.isLimited) {
                state.shadowRefused += 1
            }
            return decision
        }
    }

    package func hold(_ permits: [LimitCharge], at time: AdmissionTime) async throws(GatewayError) -> [LimitItem] {
        self.state.withLock { $0.table.charge(permits, at: time, insists: true).items }
    }

    package func settle(_ items: [LimitItem], refund: LimitRefund) {
        self.state.withLock { $0.table.settle(items, refund: refund) }
    }

    package var gauge: LimitGauge {
        self.state.withLock { state in
            var gauge = LimitGauge()
            gauge.keys = state.table.count
            gauge.permits = state.table.permits
            gauge.refused = state.refused
            gauge.shadowRefused = state.shadowRefused
            return gauge
        }
    }
}

/// What a job has been charged. Settled once, whichever way the job ends; one that is lost settles itself.
package final class LimitReceipt: Sendable {
    private let ledger: any LimitLedger
    private let items: Mutex<[LimitItem]>

    package init(_ items: [LimitItem], ledger: any LimitLedger) {
        self.ledger = ledger
        self.items = Mutex(items)
    }

    deinit { self.settle(.nothing) }

    /// Adds what was charged later. Not to be called after ``settle(_:)``.
    package func add(_ items: [LimitItem]) { self.items.withLock { $0 += items } }

    /// Gives back permits, and charges as far as `refund` says; only the first call counts.
    package func settle(_ refund: LimitRefund) {
        let items = self.items.withLock { items in
            defer { items = [] }
            return items
        }
        if !items.isEmpty { self.ledger.settle(items, refund: refund) }
    }
}
