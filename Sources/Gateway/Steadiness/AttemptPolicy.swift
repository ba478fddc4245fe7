import ImageGeneration

/// Decides what becomes of a job whose attempt failed without having cost or shown anything: the same upstream once more, the next
/// of the route, or the end. A value without clock or randomness.
struct AttemptPolicy: Sendable {
    struct Settings: Hashable, Sendable {
        /// Calls to one upstream for one job, the first among them; 1: never again.
        var attempts = 3
        /// Before the first retry, in milliseconds; doubled for each further one.
        var backoffMilliseconds = 250
    }

    enum Decision: Hashable, Sendable {
        case again(afterMilliseconds: Int)
        case elsewhere
        case giveUp
    }

    struct Situation: Sendable {
        var settings: Settings
        /// Whether another upstream of the route can be asked now.
        var hasAlternative: Bool
        /// Milliseconds the job may still wait before its upstream works on it.
        var remaining: Int64
        /// 0…<1.
        var jitter: Double
    }

    /// Calls made to the upstream in question.
    private var calls = 1
    private static let longestBackoff = 8000
    /// A rate limit that is over so soon is waited out even where another upstream could be asked.
    private static let shortLimit = 2000

    /// Whether trying again can be of use at all; what it has cost so far is the caller's to know.
    static func concerns(_ error: GatewayError) -> Bool { Self.scope(error) != .none }

    mutating func decide(after error: GatewayError, _ situation: Situation) -> Decision {
        let otherwise: Decision = situation.hasAlternative ? .elsewhere : .giveUp
        switch Self.scope(error) {
        case .none: return .giveUp
        case .elsewhere: return otherwise
        case .anywhere: break
        }
        guard self.calls < situation.settings.attempts else { return otherwise }
        let wait = self.wait(error, situation)
        if situation.hasAlternative, error.code == .upstreamRateLimited, wait > Self.shortLimit { return .elsewhere }
        guard Int64(wait) < situation.remaining else { return otherwise }
        self.calls += 1
        return .again(afterMilliseconds: wait)
    }

    /// The next upstream begins with a clean slate.
    mutating func moved() { self.calls = 1 }

    /// Never sooner than the upstream said; jitter comes on top, so that those it sent away do not come back as one.
    private func wait(_ error: GatewayError, _ situation: Situation) -> Int {
        let doubled = situation.settings.backoffMilliseconds << min(self.calls - 1, 10)
        let backoff = min(doubled, Self.longestBackoff)
        if let told = error.retryAfterMilliseconds { return told + Int(Double(backoff) * situation.jitter) }
        // A limit without a time is a matter of seconds rather than of a lost connection.
        let base = error.code == .upstreamRateLimited ? max(backoff, 1000 << min(self.calls - 1, 3)) : backoff
        return base / 2 + Int(Double(base) * situation.jitter)
    }

    private enum Scope { case none, elsewhere, anywhere }

    private static func scope(_ error: GatewayError) -> Scope {
        switch error.code {
        case .upstreamUnreachable, .upstreamRateLimited, .upstreamError, .upstreamTimeout: .anywhere
        // The gateway's account there is at fault, or the upstream is being left alone: others may do.
        case .providerAuth, .providerQuota, .upstreamUnavailable, .overloaded: .elsewhere
        default: .none
        }
    }
}
