import Admission
import ImageGeneration

extension LimitRule {
    /// So many a minute, `burst` at once.
    static func perMinute(
        _ count: Int64, burst: Int64? = nil, measure: Measure = .requests, policy: String = "p", shadow: Bool = false
    ) -> LimitRule {
        let rate = CellRate(count: count, period: 60_000_000_000, burst: burst ?? count)
        return LimitRule(policy: policy, scope: .ip, measure: measure, quota: .rate(rate), isShadow: shadow)
    }

    static func perDay(_ limit: Int64, measure: Measure = .images) -> LimitRule {
        LimitRule(policy: "p", scope: .token, measure: measure, quota: .daily(DailyQuota(limit: limit)))
    }

    static func concurrent(_ most: Int64, shadow: Bool = false) -> LimitRule {
        LimitRule(policy: "p", scope: .token, measure: .concurrent, quota: .concurrent(most), isShadow: shadow)
    }
}

extension AdmissionTime {
    /// Seconds of both clocks; the date is that of 2026-11-21, noon.
    static func at(_ seconds: Double, wall: Double? = nil) -> AdmissionTime {
        AdmissionTime(
            steady: Int64(seconds * 1e9),
            wall: Timestamp(milliseconds: 1_795_262_400_000 + Int64((wall ?? seconds) * 1000)))
    }
}

extension LimitSubject {
    static let ann = LimitSubject(name: "ann")
    static let bob = LimitSubject(name: "bob")
}
