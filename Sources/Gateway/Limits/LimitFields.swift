import Admission
import Dialects
import HTTPTypes

/// Where a client stands, in header fields: `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, and
/// OpenAI's own for its SDKs.
enum LimitFields {
    static func write(
        _ standings: [LimitStanding], style: DialectTraits.RateLimitStyle, into fields: inout HTTPFields
    ) {
        guard !standings.isEmpty else { return }
        var policy = ""
        var limit = ""
        for standing in standings {
            if !policy.isEmpty {
                policy += ", "
                limit += ", "
            }
            policy += standing.rule.policyItem
            limit += "\"\(standing.rule.name)\";r=\(standing.remaining)"
            if let reset = standing.resetAfter { limit += ";t=\(Self.seconds(reset))" }
        }
        fields[.rateLimitPolicy] = policy
        fields[.rateLimit] = limit
        guard style == .openAI else { return }
        Self.write(.requests, standings, [.limitRequests, .remainingRequests, .resetRequests], into: &fields)
        Self.write(.images, standings, [.limitImages, .remainingImages, .resetImages], into: &fields)
    }

    /// Of several rules the one that leaves least.
    private static func write(
        _ measure: LimitRule.Measure, _ standings: [LimitStanding], _ names: [HTTPField.Name],
        into fields: inout HTTPFields
    ) {
        let tightest = standings.filter { $0.rule.measure == measure }.min { $0.remaining < $1.remaining }
        guard let tightest else { return }
        let reset = Self.duration(tightest.resetAfter ?? 0)
        for (name, value) in zip(names, ["\(tightest.rule.quantity)", "\(tightest.remaining)", reset]) {
            fields[name] = value
        }
    }

    private static func seconds(_ nanoseconds: Int64) -> Int64 {
        nanoseconds / 1_000_000_000 + (nanoseconds % 1_000_000_000 > 0 ? 1 : 0)
    }

    /// `20ms`, `12s`, `1m30s`, `2h0m5s`; rounded up.
    static func duration(_ nanoseconds: Int64) -> String {
        guard nanoseconds >= 1_000_000_000 else { return "\((nanoseconds + 999_999) / 1_000_000)ms" }
        let seconds = Self.seconds(nanoseconds)
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        if hours > 0 { return "\(hours)h\(minutes)m\(seconds % 60)s" }
        return minutes > 0 ? "\(minutes)m\(seconds % 60)s" : "\(seconds)s"
    }
}

extension HTTPField.Name {
    static let rateLimit = HTTPField.Name(LimitFieldName.rateLimit)
    static let rateLimitPolicy = HTTPField.Name(LimitFieldName.rateLimitPolicy)
    fileprivate static let limitRequests = HTTPField.Name(LimitFieldName.limitRequests)
    fileprivate static let remainingRequests = HTTPField.Name(LimitFieldName.remainingRequests)
    fileprivate static let resetRequests = HTTPField.Name(LimitFieldName.resetRequests)
    fileprivate static let limitImages = HTTPField.Name(LimitFieldName.limitImages)
    fileprivate static let remainingImages = HTTPField.Name(LimitFieldName.remainingImages)
    fileprivate static let resetImages = HTTPField.Name(LimitFieldName.resetImages)

    private enum LimitFieldName: String {
        case rateLimit = "ratelimit"
        case rateLimitPolicy = "ratelimit-policy"
        case limitRequests = "x-ratelimit-limit-requests"
        case remainingRequests = "x-ratelimit-remaining-requests"
        case resetRequests = "x-ratelimit-reset-requests"
        case limitImages = "x-ratelimit-limit-images"
        case remainingImages = "x-ratelimit-remaining-images"
        case resetImages = "x-ratelimit-reset-images"
    }

    /// The names above are valid tokens, so the fallback is never used.
    private init(_ name: LimitFieldName) { self = HTTPField.Name(name.rawValue) ?? .server }
}
