/// A part of what a job costs: so much, against that rule, for that subject.
package struct LimitCharge: Sendable {
    package let rule: LimitRule
    package let subject: LimitSubject
    /// In the measure's resolution.
    package let quantity: Int64

    package init(_ rule: LimitRule, _ subject: LimitSubject, quantity: Int64 = 1) {
        self.rule = rule
        self.subject = subject
        self.quantity = quantity
    }
}

/// Where one rule stands for one subject.
package struct LimitStanding: Sendable {
    package let rule: LimitRule
    package let isLimited: Bool
    /// Whole units that would still pass now.
    package let remaining: Int64
    /// Nanoseconds until the same charge would pass; nil when it passed, never can, or nobody knows.
    package let retryAfter: Int64?
    /// Nanoseconds until nothing is counted any more; nil where nobody knows.
    package let resetAfter: Int64?
}

/// What became of the charges of one job: all of them, or none.
package struct LimitDecision: Sendable {
    /// In the order of the charges.
    package let standings: [LimitStanding]
    /// What was charged and has to be settled; empty after a refusal.
    package let items: [LimitItem]
    /// The rule that refuses, of several the one that makes wait longest.
    package let refusal: LimitStanding?

    package init(standings: [LimitStanding], items: [LimitItem], refusal: LimitStanding?) {
        self.standings = standings
        self.items = items
        self.refusal = refusal
    }
}

/// A charge that was made, and where.
package struct LimitItem: Sendable {
    let rule: LimitRule
    let key: LimitKey
    let quantity: Int64
    /// The calendar day charged.
    let day: Int64
}

/// What is counted apart.
package struct LimitKey: Hashable, Sendable {
    let rule: UInt64
    let high: UInt64
    let low: UInt64

    init(_ rule: LimitRule, _ subject: LimitSubject) {
        self.rule = rule.digest
        self.high = subject.high
        self.low = subject.low
    }
}

/// What a job gives back at its end. Permits are given back in any case.
package enum LimitRefund: Sendable {
    case nothing
    /// All but the request itself: it took none of an upstream's work, yet it was made.
    case work
    case everything

    func includes(_ measure: LimitRule.Measure) -> Bool {
        switch self {
        case .nothing: false
        case .work: measure != .requests
        case .everything: true
        }
    }
}
