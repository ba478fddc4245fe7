import ImageGeneration
import NIOCore
import Synchronization

/// How one upstream fares and who is with it: its circuit breaker, its retry budget, its places and its waiting room. Lives as long as
/// the process, across reloads that leave its settings as they are.
final class UpstreamCondition: Sendable {
    struct Settings: Hashable, Sendable {
        /// Jobs at once; nil: any number.
        var concurrency: Int?
        /// Jobs that may wait for a place.
        var waiting = 100
        var breaker = CircuitBreaker.Settings()
        var retry = AttemptPolicy.Settings()
    }

    let name: String
    let settings: Settings
    private let uptime: @Sendable () -> Int64
    private let state: Mutex<State>

    private struct State {
        var breaker: CircuitBreaker
        var budget = RetryBudget()
        var room: WaitingRoom
        /// The upstream has said not to come before.
        var heldUntil: Int64 = 0
        var listeners: [UInt64: @Sendable (WaitingRoom.Standing) -> Void] = [:]
        var lastTicket: UInt64 = 0

        mutating func takeTicket() -> UInt64 {
            self.lastTicket += 1
            return self.lastTicket
        }
    }

    /// - Parameter uptime: milliseconds of a clock that does not go back.
    init(
        name: String, settings: Settings = Settings(),
        uptime: @escaping @Sendable () -> Int64 = { Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000) }
    ) {
        self.name = name
        self.settings = settings
        self.uptime = uptime
        self.state = Mutex(
            State(
                breaker: CircuitBreaker(settings.breaker),
                room: WaitingRoom(places: settings.concurrency, seats: settings.waiting)))
    }

    /// One job obeys whatever it was told; that an upstream is left alone by all for longer than an hour takes more than one
    /// answer of its. In milliseconds.
    private static let longestHold = 3_600_000

    enum Entry: Sendable {
        case entered(UpstreamPermit)
        /// `upstream_unavailable` or `overloaded`, with the time after which to come again.
        case refused(GatewayError)
    }

    /// Asks for a place for one job.
    /// - Parameter isAccepted: the job was accepted, and waits even where all seats are taken.
    func enter(isAccepted: Bool = false) -> Entry {
        let now = self.uptime()
        return self.state.withLock { state in
            if !isAccepted, state.room.isFull { return .refused(self.full) }
            var isProbe = false
            switch state.breaker.admit(now: now) {
            case .pass: break
            case .probe: isProbe = true
            case .refused(let wait): return .refused(self.refusal(wait))
            }
            state.budget.noteCall(now: now)
            let ticket = state.takeTicket()
            _ = state.room.enter(ticket)
            return .entered(UpstreamPermit(self, ticket: ticket, isProbe: isProbe))
        }
    }

    /// A place for a job that is with the upstream already.
    func occupy() -> UpstreamPermit {
        self.state.withLock { state in
            state.room.occupy()
            return UpstreamPermit(self, ticket: state.takeTicket(), isProbe: false)
        }
    }

    enum Prospect: Hashable, Sendable {
        case open
        /// A job would be let in, and wait for so long because the upstream said so.
        case held(milliseconds: Int)
        case closed
    }

    /// What ``enter(isAccepted:)`` would lead to now.
    var prospect: Prospect {
        let now = self.uptime()
        return self.state.withLock { state in
            if case .refused = state.breaker.look(now: now) { return .closed }
            if state.room.isFull { return .closed }
            return state.heldUntil > now ? .held(milliseconds: Int(state.heldUntil - now)) : .open
        }
    }

    /// Takes one retry out of the upstream's budget, if there is any.
    func takeRetry() -> Bool {
        let now = self.uptime()
        return self.state.withLock { $0.budget.takeRetry(now: now) }
    }

    /// For operators.
    struct Report: Sendable {
        enum Breaker: String, Sendable {
            case closed, open
            case halfOpen = "half_open"
        }
        let breaker: Breaker
        /// Jobs with a place.
        let active: Int
        let waiting: Int
        /// Milliseconds until the upstream may be asked again, as it said.
        let heldMilliseconds: Int
    }

    var report: Report {
        let now = self.uptime()
        return self.state.withLock { state in
            let breaker: Report.Breaker =
                switch state.breaker.state {
                case .closed: .closed
                case .open: .open
                case .halfOpen: .halfOpen
                }
            return Report(
                breaker: breaker, active: state.room.taken, waiting: state.room.waiting.count,
                heldMilliseconds: Int(max(0, state.heldUntil - now)))
        }
    }

    private var full: GatewayError {
        GatewayError(
            .overloaded, "As many requests wait for \(self.name) as may.", retryAfterMilliseconds: 5000)
    }

    private func refusal(_ wait: Int) -> GatewayError {
        GatewayError(
            .upstreamUnavailable, "\(self.name) is failing and is left alone for a moment.",
            retryAfterMilliseconds: wait)
    }
}

// MARK: - From permits

extension UpstreamCondition {
    func standing(of ticket: UInt64) -> WaitingRoom.Standing {
        self.state.withLock { $0.room.standing(of: ticket) }
    }

    /// Milliseconds for which the upstream has asked to be left alone.
    var heldMilliseconds: Int {
        let now = self.uptime()
        return self.state.withLock { Int(max(0, $0.heldUntil - now)) }
    }

    /// Asks once more for a job that has kept its place.
    func readmit() -> Result<CircuitBreaker.Admission, GatewayError> {
        let now = self.uptime()
        return self.state.withLock { state in
            let admission = state.breaker.admit(now: now)
            if case .refused(let wait) = admission { return .failure(self.refusal(wait)) }
            return .success(admission)
        }
    }

    func listen(_ ticket: UInt64, _ listener: @escaping @Sendable (WaitingRoom.Standing) -> Void) {
        self.state.withLock { $0.listeners[ticket] = listener }
    }

    func accepted() { self.state.withLock { $0.breaker.accepted() } }

    /// - Returns: true when the breaker opened by this.
    func note(_ outcome: UpstreamPermit.Outcome, isProbe: Bool) -> Bool {
        let now = self.uptime()
        return self.state.withLock { state in
            switch outcome {
            case .succeeded:
                state.breaker.succeeded()
            case .failed(let error) where error.isUpstreamFailing:
                return state.breaker.failed(isProbe: isProbe, now: now)
            case .failed(let error):
                if error.code == .upstreamRateLimited, let wait = error.retryAfterMilliseconds {
                    state.heldUntil = max(state.heldUntil, now + Int64(min(wait, Self.longestHold)))
                }
                if isProbe { state.breaker.probeLeft() }
            case .left:
                if isProbe { state.breaker.probeLeft() }
            }
            return false
        }
    }

    /// Those behind move up. Who waits is told outside the lock.
    func leave(_ ticket: UInt64) {
        let (admitted, moved) = self.state.withLock { state in
            state.listeners[ticket] = nil
            let admitted = state.room.leave(ticket).flatMap { state.listeners[$0] }
            let moved = state.room.waiting.enumerated().compactMap { index, ticket in
                state.listeners[ticket].map { (index, $0) }
            }
            return (admitted, moved)
        }
        admitted?(.admitted)
        for (ahead, listener) in moved { listener(.waiting(ahead: ahead)) }
    }
}

extension GatewayError {
    /// Says that the upstream itself is in trouble, rather than that it did not like the request or the account.
    fileprivate var isUpstreamFailing: Bool {
        switch self.code {
        case .upstreamUnreachable, .upstreamTimeout, .upstreamStalled, .upstreamTruncated, .upstreamProtocol: true
        case .upstreamError: self.upstreamStatus.map { $0 >= 500 } ?? true
        default: false
        }
    }
}
