import Crypto

/// One limit of `routes.json`: whose use is counted, what of it, and how much is let through.
package final class LimitRule: Sendable {
    /// The name of the limits it belongs to.
    package let policy: String
    package let scope: Scope
    package let measure: Measure
    package let quota: Quota
    /// Counts and reports, refuses nothing.
    package let isShadow: Bool
    /// Unique among the rules of a file: `public.requests.ip.min`.
    package let name: String
    /// What is kept of a key belongs to rules of this digest: a rule that reads the same after a reload goes on where it stood.
    /// How much is let through at once, or held at once, may change meanwhile.
    package let digest: UInt64
    /// The rule as a member of a `RateLimit-Policy` field.
    package let policyItem: String

    package init(policy: String, scope: Scope, measure: Measure, quota: Quota, isShadow: Bool = false) {
        self.policy = policy
        self.scope = scope
        self.measure = measure
        self.quota = quota
        self.isShadow = isShadow
        self.name = [policy, measure.rawValue, scope.text, quota.periodName].compactMap { $0 }.joined(separator: ".")
        let identity =
            switch quota {
            case .rate(let rate): "\(self.name) \(rate.count)/\(rate.period)"
            case .daily, .concurrent: self.name
            }
        self.digest = SubjectDigest.words(of: identity).high
        var item = "\"\(self.name)\";q=\(Self.quantity(quota, measure))"
        if measure == .concurrent { item += ";qu=\"concurrent-requests\"" }
        if let window = Self.window(quota) { item += ";w=\(window)" }
        self.policyItem = item
    }

    /// By what requests are told apart.
    package enum Scope: Hashable, Sendable {
        /// The client's address; of IPv6 its /64.
        case ip
        /// The principal; for nobody the address.
        case token
        /// The route, all its clients together.
        case route
        /// A claim of the principal's credential; without it as `token`.
        case claim(String)
        /// Everybody together.
        case global

        package var text: String {
            switch self {
            case .ip: "ip"
            case .token: "token"
            case .route: "route"
            case .claim(let name): "claim:\(name)"
            case .global: "global"
            }
        }
    }

    package enum Measure: String, Sendable, CaseIterable {
        case requests, images, cost, concurrent

        /// Quantities are counted in this part of a unit: costs have three decimals.
        package var resolution: Int64 { self == .cost ? 1000 : 1 }
    }

    package enum Quota: Hashable, Sendable {
        case rate(CellRate)
        case daily(DailyQuota)
        /// Held at once.
        case concurrent(Int64)

        /// `s`, `min`, `hour`, `day`, else the seconds; nil where there is no period.
        fileprivate var periodName: String? {
            switch self {
            case .daily: return "day"
            case .concurrent: return nil
            case .rate(let rate):
                let names: [Int64: String] = [1: "s", 60: "min", 3600: "hour"]
                let seconds = rate.period / 1_000_000_000
                return names[seconds] ?? "\(seconds)s"
            }
        }
    }

    /// The most a single job may weigh, in the measure's resolution.
    package var heaviest: Int64 {
        switch self.quota {
        case .rate(let rate): rate.burst
        case .daily(let quota): quota.limit
        case .concurrent(let most): most
        }
    }

    /// Units in a period, or at once; whole ones.
    package var quantity: Int64 { Self.quantity(self.quota, self.measure) }

    private static func quantity(_ quota: Quota, _ measure: Measure) -> Int64 {
        switch quota {
        case .rate(let rate): rate.count / measure.resolution
        case .daily(let quota): quota.limit / measure.resolution
        case .concurrent(let most): most
        }
    }

    /// Seconds; nil where there is no period.
    package var window: Int64? { Self.window(self.quota) }

    private static func window(_ quota: Quota) -> Int64? {
        switch quota {
        case .rate(let rate): max(1, rate.period / 1_000_000_000)
        case .daily: 86_400
        case .concurrent: nil
        }
    }
}

/// Whose use a rule counts, as far as the table needs to know: never the text of a token or claim.
package struct LimitSubject: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package static let everybody = LimitSubject(high: 0, low: 0)
    /// Stands for all that the table has no room to tell apart.
    static let crowd = LimitSubject(high: .max, low: .max)

    /// An address in 16 bytes, of IPv6 only as much as counts.
    package init(addressHigh: UInt64, low: UInt64) { self.init(high: addressHigh, low: low) }

    /// A name: of a principal, route or claim's value.
    package init(name: String) {
        let words = SubjectDigest.words(of: name)
        self.init(high: words.high, low: words.low)
    }
}

private enum SubjectDigest {
    /// The first half of the text's SHA-256.
    static func words(of text: String) -> (high: UInt64, low: UInt64) {
        var hash = SHA256()
        hash.update(data: Array(text.utf8))
        var words: (UInt64, UInt64) = (0, 0)
        for (index, byte) in hash.finalize().prefix(16).enumerated() {
            if index < 8 { words.0 = words.0 << 8 | UInt64(byte) } else { words.1 = words.1 << 8 | UInt64(byte) }
        }
        return (words.0, words.1)
    }
}
