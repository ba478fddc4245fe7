/// Stops asking an upstream that keeps failing, and lets one job try it now and then until one is taken again.
///
/// A value without clock: times are milliseconds of any clock that does not go back.
struct CircuitBreaker: Sendable {
    struct Settings: Hashable, Sendable {
        /// Failures in a row that open it. 0: it never opens.
        var failures = 5
        /// How long it stays open before a job may try, in milliseconds.
        var openMilliseconds = 5000
    }

    enum State: Hashable, Sendable {
        case closed
        /// Nobody may ask until then.
        case open(until: Int64)
        /// One job may ask; `isTaken` while it does.
        case halfOpen(isTaken: Bool)
    }

    enum Admission: Hashable, Sendable {
        case pass
        /// This job decides whether the others may come back.
        case probe
        /// Milliseconds until it is worth asking again, at least 1.
        case refused(retryAfter: Int)
    }

    let settings: Settings
    private(set) var state = State.closed
    private var failuresInARow = 0

    init(_ settings: Settings) { self.settings = settings }

    /// What ``admit(now:)`` would say; nothing is taken.
    func look(now: Int64) -> Admission {
        switch self.state {
        case .closed: return .pass
        case .open(let until): return now >= until ? .probe : .refused(retryAfter: Int(until - now))
        // The probe may take as long as a picture does; until it is over there is nothing better to say.
        case .halfOpen(let isTaken): return isTaken ? .refused(retryAfter: 1000) : .probe
        }
    }

    mutating func admit(now: Int64) -> Admission {
        let admission = self.look(now: now)
        if admission == .probe { self.state = .halfOpen(isTaken: true) }
        return admission
    }

    /// The upstream has taken a job: where it was left alone, the others may come back. How the job ends, counts for the rest.
    mutating func accepted() {
        if self.state != .closed { self.succeeded() }
    }

    /// A job at the upstream ended well.
    mutating func succeeded() {
        self.failuresInARow = 0
        self.state = .closed
    }

    /// - Parameter isProbe: as admitted.
    /// - Returns: true when this failure opened it.
    mutating func failed(isProbe: Bool, now: Int64) -> Bool {
        guard self.settings.failures > 0 else { return false }
        self.failuresInARow += 1
        switch self.state {
        case .halfOpen where isProbe: break
        case .closed where self.failuresInARow >= self.settings.failures: break
        // Jobs that were admitted before it opened say nothing new.
        case .closed, .open, .halfOpen: return false
        }
        self.state = .open(until: now + Int64(self.settings.openMilliseconds))
        return true
    }

    /// The probe ended without saying anything about the upstream: another may try.
    mutating func probeLeft() {
        if self.state == .halfOpen(isTaken: true) { self.state = .halfOpen(isTaken: false) }
    }
}
