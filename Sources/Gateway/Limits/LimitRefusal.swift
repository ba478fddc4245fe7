import Admission
import ImageGeneration

/// A refusal in the words of the client.
enum LimitRefusal {
    /// How long to wait for a permit, which nobody knows.
    private static let permitWait = 1000

    /// 429.
    static func error(_ standing: LimitStanding) -> GatewayError {
        let rule = standing.rule
        let wait = standing.retryAfter.map { Int(($0 + 999_999) / 1_000_000) } ?? Self.permitWait
        switch rule.quota {
        case .concurrent(let most):
            return GatewayError(
                .rateLimited, "Too many jobs at once: \(rule.name) lets \(most) run.", retryAfterMilliseconds: wait)
        case .rate:
            return GatewayError(
                .rateLimited, "\(Self.tooMany(rule)): \(rule.name) lets \(rule.quantity) pass in \(Self.period(rule)).",
                retryAfterMilliseconds: wait)
        case .daily:
            return GatewayError(
                .quotaExceeded, "\(Self.tooMany(rule)): \(rule.name) lets \(rule.quantity) pass in a day (UTC).",
                retryAfterMilliseconds: wait)
        }
    }

    /// 400: waiting would not help.
    static func tooHeavy(_ charge: LimitCharge) -> GatewayError {
        let rule = charge.rule
        let weight = Self.units(charge.quantity, rule.measure)
        let most = Self.units(rule.heaviest, rule.measure)
        let noun = rule.measure == .cost ? "cost units" : rule.measure.rawValue
        return GatewayError(
            .invalidParameter,
            "This request takes \(weight) \(noun); \(rule.name) never lets more than \(most) pass at once.",
            parameter: "n")
    }

    private static func tooMany(_ rule: LimitRule) -> String {
        switch rule.measure {
        case .requests, .concurrent: "Too many requests"
        case .images: "Too many images"
        case .cost: "Too much asked for"
        }
    }

    private static func period(_ rule: LimitRule) -> String {
        switch rule.window {
        case 1: "a second"
        case 60: "a minute"
        case 3600: "an hour"
        case let seconds?: "\(seconds) seconds"
        case nil: "any time"
        }
    }

    /// Whole units, or with as many decimals as there are.
    private static func units(_ quantity: Int64, _ measure: LimitRule.Measure) -> String {
        let (whole, rest) = quantity.quotientAndRemainder(dividingBy: measure.resolution)
        guard rest != 0 else { return "\(whole)" }
        var digits = String(rest + measure.resolution).dropFirst()
        while digits.last == "0" { digits = digits.dropLast() }
        return "\(whole).\(digits)"
    }
}
