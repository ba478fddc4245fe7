/// What the names resolve to, for a short while, and who waits for those being looked up.
struct NameCache<Waiter> {
    enum Answer {
        case known(NameResolution)
        /// The waiter was kept; the caller starts the look-up.
        case startLookup
        /// The waiter was kept; a look-up is under way.
        case waiting
    }

    /// Nanoseconds an answer is good for.
    static var lifetime: UInt64 { 30_000_000_000 }
    static var failureLifetime: UInt64 { 2_000_000_000 }
    static var maximumEntries: Int { 1024 }

    private var entries: [String: (resolution: NameResolution, expiry: UInt64)] = [:]
    private var waiters: [String: [Waiter]] = [:]

    /// Answers from the cache; otherwise `waiter` is called upon when the look-up ends.
    mutating func ask(_ name: String, now: UInt64, waiter: @autoclosure () -> Waiter) -> Answer {
        if let entry = self.entries[name], entry.expiry > now { return .known(entry.resolution) }
        let isFirst = self.waiters[name] == nil
        self.waiters[name, default: []].append(waiter())
        return isFirst ? .startLookup : .waiting
    }

    /// Keeps the answer and returns those who waited for it.
    mutating func complete(_ name: String, _ resolution: NameResolution, now: UInt64) -> [Waiter] {
        if self.entries.count >= Self.maximumEntries {
            self.entries = self.entries.filter { $0.value.expiry > now }
            if self.entries.count >= Self.maximumEntries { self.entries.removeAll() }
        }
        let lifetime =
            switch resolution {
            case .addresses: Self.lifetime
            case .failure: Self.failureLifetime
            }
        self.entries[name] = (resolution, now.addingClamped(lifetime))
        return self.waiters.removeValue(forKey: name) ?? []
    }
}

/// What a name resolved to.
enum NameResolution: Equatable, Sendable {
    /// Comma-separated, IPv6 in brackets, the preferred first.
    case addresses(String)
    case failure(String)
}
