import ImageGeneration
import Synchronization

/// One job's place at an upstream, or its turn to get one. Given back by ``end(_:)``, at the latest with the last reference.
final class UpstreamPermit: Sendable {
    let condition: UpstreamCondition
    private let ticket: UInt64
    private let state: Mutex<State>

    private struct State {
        var isProbe: Bool
        var isAccepted = false
        /// An attempt has failed, and the job has not asked again.
        var hasFailed = false
        var isEnded = false

        /// What becomes of it says whether the others may come back.
        var decides: Bool { self.isProbe && !self.isAccepted && !self.hasFailed }
    }

    enum Outcome: Sendable {
        case succeeded
        case failed(GatewayError)
        /// Cancelled, or for other reasons no news of the upstream.
        case left
    }

    init(_ condition: UpstreamCondition, ticket: UInt64, isProbe: Bool) {
        self.condition = condition
        self.ticket = ticket
        self.state = Mutex(State(isProbe: isProbe))
    }

    deinit { self.end(.left) }

    var standing: WaitingRoom.Standing { self.condition.standing(of: self.ticket) }

    /// For so long the upstream asks to be left alone, whoever it told so.
    var heldMilliseconds: Int { self.condition.heldMilliseconds }

    /// Tells of every change from now on, on any thread and until the end. What changed before is found in ``standing``.
    func onChange(_ listener: @escaping @Sendable (WaitingRoom.Standing) -> Void) {
        self.condition.listen(self.ticket, listener)
    }

    /// The upstream has taken the job.
    func accepted() {
        let isFirst = self.state.withLock { state in
            defer { state.isAccepted = true }
            return !state.isAccepted && !state.isEnded
        }
        if isFirst { self.condition.accepted() }
    }

    /// The attempt has failed. The place stays the job's, which may ask again: who had to wait is not sent to the end of the line.
    /// - Returns: true when the upstream is left alone from now on.
    func failed(_ error: GatewayError) -> Bool {
        let before = self.state.withLock { state in
            defer { state.hasFailed = true }
            return state
        }
        guard !before.isEnded, !before.hasFailed else { return false }
        return self.condition.note(.failed(error), isProbe: before.decides)
    }

    /// Before the job asks again.
    /// - Returns: `upstream_unavailable` where it may not; the place is still to be given back.
    func askAgain() -> GatewayError? {
        guard self.state.withLock({ $0.hasFailed && !$0.isEnded }) else { return nil }
        switch self.condition.readmit() {
        case .failure(let error): return error
        case .success(let admission):
            self.state.withLock { $0 = State(isProbe: admission == .probe, isEnded: $0.isEnded) }
            return nil
        }
    }

    /// The job has nothing more to ask here, and the place is free. Only the first call counts.
    /// - Returns: true when the upstream is left alone from now on.
    @discardableResult
    func end(_ outcome: Outcome) -> Bool {
        let before = self.state.withLock { state in
            defer { state.isEnded = true }
            return state
        }
        guard !before.isEnded else { return false }
        let hasOpened = before.hasFailed ? false : self.condition.note(outcome, isProbe: before.decides)
        self.condition.leave(self.ticket)
        return hasOpened
    }
}
