/// When an issuer's keys are fetched: regularly, soon after a token names a key that is not among them, and ever more rarely while
/// the issuer does not answer. Never more than once a minute once there are keys. Times are seconds of a clock that nobody sets.
struct KeySetSchedule: Equatable, Sendable {
    private var next: Int64
    private var lastAttempt: Int64?
    private var failures = 0
    private var hasKeys = false

    /// Between fetches that nobody asked for.
    static let regular: Int64 = 300
    /// Between any two, once there are keys.
    static let least: Int64 = 60
    /// Between two tries while the issuer does not answer.
    static let most: Int64 = 600

    /// Due at once.
    init(now: Int64) { self.next = now }

    func isDue(at now: Int64) -> Bool { now >= self.next }

    mutating func succeeded(at now: Int64) {
        self.hasKeys = true
        self.failures = 0
        self.lastAttempt = now
        self.next = now + Self.regular
    }

    mutating func failed(at now: Int64) {
        self.failures += 1
        self.lastAttempt = now
        let first = self.hasKeys ? Self.least : 1
        let most = self.hasKeys ? Self.most : Self.least
        self.next = now + min(most, first << Int64(min(self.failures - 1, 16)))
    }

    /// A token named a key that is not known.
    mutating func missed(at now: Int64) {
        // Who is waited for because it does not answer is not asked more often for that.
        guard self.failures == 0, let last = self.lastAttempt else { return }
        self.next = min(self.next, max(now, last + Self.least))
    }
}
