package import ImageGeneration

/// What a principal has used of a route on a day: each job counts on the day of its end.
package struct UsageAccount: Hashable, Sendable {
    /// Days since 1970-01-01, in UTC.
    package var day: Int64
    /// Empty for jobs of nobody.
    package var principal: String
    package var route: String
    package var sums: Sums

    package struct Sums: Hashable, Sendable {
        package var jobs = 0
        /// Jobs that did not complete: failed ones and cancelled ones, those with pictures too.
        package var failures = 0
        package var images = 0
        /// As upstreams told it.
        package var inputTokens = 0
        package var outputTokens = 0
        /// In thousandths of a unit of `costs`.
        package var cost = 0

        package init() {}

        package static func + (left: Sums, right: Sums) -> Sums {
            var sums = left
            sums.jobs += right.jobs
            sums.failures += right.failures
            sums.images += right.images
            sums.inputTokens += right.inputTokens
            sums.outputTokens += right.outputTokens
            sums.cost += right.cost
            return sums
        }
    }

    package init(day: Int64, principal: String, route: String, sums: Sums) {
        self.day = day
        self.principal = principal
        self.route = route
        self.sums = sums
    }

    package static let millisecondsOfDay: Int64 = 86_400_000

    package static func day(of time: Timestamp) -> Int64 { time.milliseconds / self.millisecondsOfDay }

    /// Whose account a job is booked on. Browsers without a credential share one: there are too many of them to keep an account each.
    package static func name(of principal: String?) -> String {
        guard let principal else { return "" }
        return principal.hasPrefix("ses_") ? "session" : principal
    }
}

extension UsageAccount.Sums {
    /// Of one job, by the event that ended it.
    /// - Parameter usage: what the upstream told of a job that did not complete.
    package init(_ event: JobEvent, usage: Usage?) {
        self.init()
        self.jobs = 1
        var used = usage
        var cost: Double?
        switch event {
        case .completed(let completion):
            self.images = completion.images.count
            cost = completion.cost
            used = completion.usage
        case .cancelled(let cancellation):
            self.failures = 1
            self.images = cancellation.pictures
            cost = cancellation.cost
        default: self.failures = 1
        }
        self.cost = cost.map { Int(($0 * 1000).rounded()) } ?? 0
        // Whatever an upstream says, sums of it must not overflow.
        let bounds = 0...1_000_000_000_000
        self.inputTokens = min(max(used?.inputTokens ?? 0, bounds.lowerBound), bounds.upperBound)
        self.outputTokens = min(max(used?.outputTokens ?? 0, bounds.lowerBound), bounds.upperBound)
    }
}

/// Asks for accounts.
package struct UsageQuery: Sendable {
    /// From this day on; nil: all there are.
    package var since: Int64?
    /// Nil: everybody's.
    package var principal: String?

    package init(since: Int64? = nil, principal: String? = nil) {
        self.since = since
        self.principal = principal
    }
}
