import Admission
import Dialects
import HTTPTypes
import ImageGeneration
import Logging
import Synchronization
import Tokens

/// Where requests meet their limits: which rules count for one, and what each is charged.
struct LimitGate: Sendable {
    let ledger: any LimitLedger
    let now: @Sendable () -> AdmissionTime
    let logger: Logger

    /// - Returns: nil where nothing limits the request, whichever of its path's routes it is.
    func pass(_ scope: RequestScope, _ match: EndpointMatch, _ table: RouteTable) -> LimitPass? {
        let names = scope.principal.limits
        guard !names.isEmpty || match.candidates.routes.contains(where: { !$0.limits.isEmpty }) else { return nil }
        return LimitPass(
            gate: self, caller: Caller(scope), candidates: match.candidates,
            ownRules: names.flatMap { table.limits[$0] ?? [] }, costs: table.costs,
            style: match.traits.rateLimitStyle, requestID: scope.id)
    }
}

extension LimitGate {
    /// The permits of a job that an earlier process accepted, as far as they can be told: not by address, nor by claim, since neither
    /// is kept.
    /// - Parameter ownRules: of the principal's credential, besides the route's.
    func permits(
        principal: String?, ownRules: [LimitRule], route: RouteTable.Route
    ) async throws(GatewayError) -> LimitReceipt? {
        // Browsers without a credential count by address.
        let principal = principal.flatMap { SessionCookie.isID($0) ? nil : $0 }
        let caller = Caller(principal: Principal(kind: .token, id: principal), address: nil)
        let charges = LimitPass.distinct(route.limits + ownRules).compactMap { rule -> LimitCharge? in
            guard rule.measure == .concurrent else { return nil }
            switch rule.scope {
            case .token where principal == nil: return nil
            case .ip, .claim: return nil
            case .token, .route, .global: return LimitCharge(rule, caller.subject(of: rule, route: route.name))
            }
        }
        guard !charges.isEmpty else { return nil }
        return LimitReceipt(try await self.ledger.hold(charges, at: self.now()), ledger: self.ledger)
    }
}

/// One request on its way through its limits.
///
/// 1. ``enter()``, before the body is read: the request itself is charged.
/// 2. ``weigh(_:)``, once it is decided what is asked for: pictures, costs and a permit, together with whatever was not charged
///    before, all of it or nothing.
/// 3. ``receipt`` goes with the job, which settles it. A request that gets no job of its own gives back what it was charged
///    (``giveBack(_:)``), but for the turn that one used which could not be understood.
final class LimitPass: Sendable {
    private let gate: LimitGate
    private let caller: Caller
    private let candidates: RouteCandidates
    /// Of the principal's credential, besides the route's.
    private let ownRules: [LimitRule]
    private let costs: CostTable
    private let style: DialectTraits.RateLimitStyle
    private let requestID: String
    private let state = Mutex(State())

    private struct State: Sendable {
        var receipt: LimitReceipt?
        var standings: [LimitStanding] = []
    }

    init(
        gate: LimitGate, caller: Caller, candidates: RouteCandidates, ownRules: [LimitRule], costs: CostTable,
        style: DialectTraits.RateLimitStyle, requestID: String
    ) {
        self.gate = gate
        self.caller = caller
        self.candidates = candidates
        self.ownRules = ownRules
        self.costs = costs
        self.style = style
        self.requestID = requestID
    }

    /// What the request has been charged so far.
    var receipt: LimitReceipt? { self.state.withLock { $0.receipt } }

    /// - Throws: `rate_limited`, `quota_exceeded`.
    func enter() async throws(GatewayError) {
        let route = self.candidates.routes[0].name
        let own = self.ownRules.filter {
            $0.measure == .requests && ($0.scope != .route || self.candidates.routes.count == 1)
        }
        try await self.charge(Self.distinct(self.candidates.commonLimits + own).map { self.one($0, route: route) })
    }

    /// The same, unless something has been charged already.
    func enterLate() async throws(GatewayError) {
        if self.state.withLock({ $0.standings.isEmpty }) { try await self.enter() }
    }

    /// - Throws: `rate_limited`, `quota_exceeded`, and `invalid_parameter` for what could never pass.
    func weigh(_ plan: JobPlan) async throws(GatewayError) {
        guard let route = self.candidates.routes.first(where: { $0.name == plan.route }) else { return }
        let charged = self.state.withLock { $0.standings.map(\.rule) }
        let rules = Self.distinct(route.limits + self.ownRules).filter { rule in
            !charged.contains { $0 === rule }
        }
        let charges = rules.map { self.charge(for: $0, plan.request, route: route.name) }
        for charge in charges where charge.quantity > charge.rule.heaviest && !charge.rule.isShadow {
            throw LimitRefusal.tooHeavy(charge)
        }
        try await self.charge(charges)
    }

    /// The request becomes no job of its own.
    func giveBack(_ refund: LimitRefund = .everything) {
        let receipt = self.state.withLock { state in
            defer { state.receipt = nil }
            return state.receipt
        }
        receipt?.settle(refund)
    }

    func write(into fields: inout HTTPFields) {
        let standings = self.state.withLock { $0.standings }
        LimitFields.write(standings, style: self.style, into: &fields)
    }

    // MARK: Charging

    private func one(_ rule: LimitRule, route: String) -> LimitCharge {
        LimitCharge(rule, self.caller.subject(of: rule, route: route))
    }

    private func charge(for rule: LimitRule, _ request: ImageRequest, route: String) -> LimitCharge {
        let quantity: Int64 =
            switch rule.measure {
            case .requests, .concurrent: 1
            case .images: Int64(max(1, request.count))
            case .cost: self.costs.cost(of: request)
            }
        return LimitCharge(rule, self.caller.subject(of: rule, route: route), quantity: quantity)
    }

    private func charge(_ charges: [LimitCharge]) async throws(GatewayError) {
        guard !charges.isEmpty else { return }
        let decision = try await self.gate.ledger.charge(charges, at: self.gate.now())
        self.state.withLock { state in
            state.standings += decision.standings
            guard !decision.items.isEmpty else { return }
            if let receipt = state.receipt {
                receipt.add(decision.items)
            } else {
                state.receipt = LimitReceipt(decision.items, ledger: self.gate.ledger)
            }
        }
        if let refusal = decision.refusal { throw LimitRefusal.error(refusal) }
        for standing in decision.standings where standing.isLimited { self.tell(shadow: standing.rule) }
    }

    private func tell(shadow rule: LimitRule) {
        self.gate.logger.info(
            "limit would refuse", metadata: ["limit": "\(rule.name)", "request_id": "\(self.requestID)"])
    }

    /// The same rule by route and credential counts once.
    fileprivate static func distinct(_ rules: [LimitRule]) -> [LimitRule] {
        guard rules.count > 1 else { return rules }
        var seen: Set<String> = []
        return rules.filter { seen.insert($0.name).inserted }
    }
}
