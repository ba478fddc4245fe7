import ImageGeneration
import NIOCore

/// Everything that is counted, by rule and subject, in bounded memory.
///
/// A key is forgotten only when it is as good as new: its bucket full, its day over, none of its permits held. Where there is no
/// room for another, the newcomers of a rule are counted together: a crowd may hold each other up, but nobody goes uncounted.
package struct LimitTable: Sendable {
    /// Keys; each takes about 120 bytes.
    package let maximumKeys: Int
    private var states: [LimitKey: LimitState] = [:]
    /// Every key once, the next to be looked at in front.
    private var order = CircularBuffer<LimitKey>()
    package private(set) var permits = 0

    /// Keys looked at for each new one: two, so that the table shrinks; more when it is full.
    private static let looks = 2
    private static let looksWhenFull = 32

    /// - Parameter maximumKeys: at least 1.
    package init(maximumKeys: Int = 200_000) { self.maximumKeys = max(1, maximumKeys) }

    package var count: Int { self.states.count }

    /// Checks all charges, then makes all of them or none.
    /// - Parameter insists: makes them whatever the rules say, for a job that runs already.
    package mutating func charge(
        _ charges: [LimitCharge], at time: AdmissionTime, insists: Bool = false
    ) -> LimitDecision {
        var verdicts: [Verdict] = []
        verdicts.reserveCapacity(charges.count)
        var refusal: LimitStanding?
        for charge in charges {
            let key = self.key(for: charge, at: time)
            let verdict = Verdict(charge, key, self.states[key], time)
            verdicts.append(verdict)
            guard verdict.standing.isLimited, !charge.rule.isShadow, !insists else { continue }
            refusal = refusal.map { Self.longer($0, verdict.standing) } ?? verdict.standing
        }
        let standings = verdicts.map(\.standing)
        guard refusal == nil else {
            for verdict in verdicts where self.states[verdict.key] != nil { self.states[verdict.key] = verdict.kept }
            return LimitDecision(standings: standings, items: [], refusal: refusal)
        }
        var items: [LimitItem] = []
        items.reserveCapacity(verdicts.count)
        for verdict in verdicts {
            guard let charged = verdict.charged else {
                if self.states[verdict.key] != nil { self.states[verdict.key] = verdict.kept }
                continue
            }
            self.keep(charged, for: verdict.key)
            if case .permits = charged { self.permits += 1 }
            items.append(verdict.item)
        }
        return LimitDecision(standings: standings, items: items, refusal: nil)
    }

    /// Gives permits back, and charges as far as `refund` says.
    package mutating func settle(_ items: [LimitItem], refund: LimitRefund) {
        for item in items {
            guard let state = self.states[item.key] else { continue }
            switch (state, item.rule.quota) {
            case (.permits(let held), _):
                self.permits -= 1
                self.states[item.key] = .permits(max(0, held - 1))
            case (.arrival(let arrival), .rate(let rate)) where refund.includes(item.rule.measure):
                self.states[item.key] = .arrival(rate.refund(item.quantity, to: arrival))
            case (.use(let use), _) where refund.includes(item.rule.measure):
                self.states[item.key] = .use(DailyQuota.refund(item.quantity, of: item.day, to: use))
            case (.arrival, _), (.use, _): break
            }
        }
    }

    /// A refusal for ever comes before any that ends.
    private static func longer(_ a: LimitStanding, _ b: LimitStanding) -> LimitStanding {
        if a.rule.measure == .concurrent { return b }
        if b.rule.measure == .concurrent { return a }
        guard let first = a.retryAfter else { return a }
        guard let second = b.retryAfter else { return b }
        return second > first ? b : a
    }

    // MARK: Room

    private mutating func key(for charge: LimitCharge, at time: AdmissionTime) -> LimitKey {
        let key = LimitKey(charge.rule, charge.subject)
        if self.states[key] != nil { return key }
        self.makeRoom(at: time)
        return self.states.count < self.maximumKeys ? key : LimitKey(charge.rule, .crowd)
    }

    private mutating func keep(_ state: LimitState, for key: LimitKey) {
        if self.states.updateValue(state, forKey: key) == nil { self.order.append(key) }
    }

    private mutating func makeRoom(at time: AdmissionTime) {
        let isFull = self.states.count >= self.maximumKeys
        for _ in 0..<(isFull ? Self.looksWhenFull : Self.looks) {
            guard let key = self.order.popFirst(), let state = self.states[key] else { return }
            if state.isAsNew(at: time, isPressing: isFull) {
                self.states[key] = nil
            } else {
                self.order.append(key)
            }
        }
    }
}

/// What is kept of a key.
enum LimitState: Hashable, Sendable {
    case arrival(CellRate.Arrival)
    case use(DailyQuota.Use)
    case permits(Int64)

    /// - Parameter isPressing: the day before today is then no longer kept for a clock that may be set back.
    func isAsNew(at time: AdmissionTime, isPressing: Bool) -> Bool {
        switch self {
        case .arrival(let arrival): arrival.isPast(time.steady)
        case .use(let use):
            use.used == 0 && use.usedBefore == 0
                || use.day < DailyQuota.day(of: time.wall) - (isPressing ? 0 : 1)
        case .permits(let held): held == 0
        }
    }
}

/// One charge, looked at.
private struct Verdict {
    let key: LimitKey
    let standing: LimitStanding
    /// What is kept when the job is refused.
    let kept: LimitState?
    /// What is kept when it is not; nil where nothing is counted.
    let charged: LimitState?
    let item: LimitItem

    init(_ charge: LimitCharge, _ key: LimitKey, _ state: LimitState?, _ time: AdmissionTime) {
        let rule = charge.rule
        self.key = key
        var day: Int64 = 0
        switch rule.quota {
        case .rate(let rate):
            var arrival: CellRate.Arrival?
            if case .arrival(let known) = state { arrival = known }
            let decision = rate.decide(arrival, quantity: charge.quantity, now: time.steady)
            self.standing = LimitStanding(
                rule: rule, isLimited: decision.isLimited, remaining: decision.remaining / rule.measure.resolution,
                retryAfter: decision.retryAfter, resetAfter: decision.resetAfter)
            let next = decision.arrival.map { LimitState.arrival($0) }
            self.kept = decision.isLimited ? next : state
            self.charged = decision.isLimited ? nil : next
        case .daily(let quota):
            var use: DailyQuota.Use?
            if case .use(let known) = state { use = known }
            let decision = quota.decide(use, quantity: charge.quantity, now: time.wall)
            self.standing = LimitStanding(
                rule: rule, isLimited: decision.isLimited, remaining: decision.remaining / rule.measure.resolution,
                retryAfter: decision.retryAfter, resetAfter: decision.resetAfter)
            day = decision.day
            self.kept = decision.isLimited ? .use(decision.use) : state
            self.charged = decision.isLimited ? nil : .use(decision.use)
        case .concurrent(let most):
            var held: Int64 = 0
            if case .permits(let known) = state { held = known }
            let isLimited = held + charge.quantity > most
            self.standing = LimitStanding(
                rule: rule, isLimited: isLimited, remaining: max(0, isLimited ? most - held : most - held - 1),
                retryAfter: nil, resetAfter: nil)
            self.kept = state
            // A job that runs holds its permit also where the rule only watches.
            self.charged = .permits(held + 1)
        }
        self.item = LimitItem(rule: rule, key: key, quantity: charge.quantity, day: day)
    }
}
