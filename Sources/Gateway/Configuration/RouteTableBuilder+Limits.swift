import Admission

extension RouteTableBuilder {
    /// The rules of each name in `limits`.
    mutating func limits() -> [String: [LimitRule]] {
        var policies: [String: [LimitRule]] = [:]
        for policy in self.file.limits?.value ?? [] {
            var rules: [LimitRule] = []
            for entry in policy.value ?? [] {
                guard let rule = self.rule(entry, of: policy.name) else { continue }
                if rules.contains(where: { $0.name == rule.name }) {
                    self.report("the same is limited by an entry before it", at: entry.place)
                }
                rules.append(rule)
            }
            policies[policy.name] = rules
        }
        return policies
    }

    private mutating func rule(_ entry: Located<RoutesFile.Limit>, of policy: String) -> LimitRule? {
        let limit = entry.value
        let measures: [(RoutesFile.Limit.Key, LimitRule.Measure)] = [
            (.requests, .requests), (.images, .images), (.cost, .cost), (.concurrent, .concurrent),
        ].filter { limit.present.contains($0.0) }
        guard measures.count == 1, let measure = measures.first?.1 else {
            let found = measures.isEmpty ? "none" : "several"
            self.report(
                "expected one of \"requests\", \"images\", \"cost\" or \"concurrent\", found \(found)", at: entry.place)
            return nil
        }
        guard let scope = limit.per?.value, let quota = self.quota(limit, measure) else { return nil }
        return LimitRule(
            policy: policy, scope: scope, measure: measure, quota: quota, isShadow: limit.shadow?.value ?? false)
    }

    private mutating func quota(_ limit: RoutesFile.Limit, _ measure: LimitRule.Measure) -> LimitRule.Quota? {
        let rate: Located<RequestRate>?
        switch measure {
        case .requests: rate = limit.requests
        case .images: rate = limit.images
        case .cost: rate = limit.cost
        case .concurrent:
            if let burst = limit.burst { self.report("\"concurrent\" has no burst", at: burst.place) }
            return limit.concurrent.map { .concurrent(Int64($0.value)) }
        }
        guard let rate else { return nil }
        guard rate.value.quantity <= RoutesFile.Limit.most else {
            self.report("expected at most \(RoutesFile.Limit.most), found \(rate.value.quantity)", at: rate.place)
            return nil
        }
        let count = Int64(rate.value.quantity) * measure.resolution
        guard let period = rate.value.period.nanoseconds else {
            if let burst = limit.burst {
                self.report("a quota of a day has no burst: all of it may be used at once", at: burst.place)
            }
            return .daily(DailyQuota(limit: count))
        }
        let burst = limit.burst.map { Int64($0.value) * measure.resolution } ?? count
        return .rate(CellRate(count: count, period: period, burst: burst))
    }

    /// The names of a route's limits that exist.
    mutating func limits(_ reader: RouteReader, policies: [String: [LimitRule]]) -> [LimitRule] {
        var rules: [LimitRule] = []
        var names: Set<String> = []
        for name in reader[\.limits]?.value ?? [] {
            guard let policy = policies[name.value] else {
                self.reportUnknownLimit(name, known: policies.keys.sorted())
                continue
            }
            if !names.insert(name.value).inserted {
                self.report("limits \"\(name.value)\" are named before", at: name.place)
                continue
            }
            rules += policy
        }
        return rules
    }

    private mutating func reportUnknownLimit(_ name: Located<String>, known: [String]) {
        guard known.isEmpty else { return self.reportUnknown("limits", name, known: known, later: []) }
        self.report(
            "unknown limits \(ConfigurationText.quoted(name.value)); the file has no \"limits\"", at: name.place)
    }

    func costs() -> CostTable {
        let costs = self.file.costs?.value
        let images = (costs?.image?.value ?? []).compactMap { entry in entry.value.map { (entry.name, $0) } }
        return CostTable(images: images, preview: costs?.preview?.value ?? 0)
    }
}

extension RequestRate.Period {
    /// Nil for a day, which is one of the calendar.
    fileprivate var nanoseconds: Int64? {
        switch self {
        case .second: 1_000_000_000
        case .minute: 60_000_000_000
        case .hour: 3_600_000_000_000
        case .day: nil
        }
    }
}
