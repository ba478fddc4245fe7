package import Admission
package import ImageGeneration
package import NIOCore
package import Storage
import Synchronization

/// One accepted request's work, as its readers and the rest of the gateway see it.
package final class Job: Sendable {
    package let id: JobID
    /// Who asked for it; nil for nobody, whose jobs are reached by their id alone.
    package let owner: String?
    package let plan: JobPlan
    package let createdAt: Timestamp
    package let log: EventLog
    /// Opens when the upstream has answered for good or ill: from then on a response's status cannot improve.
    package let commitment: Gate
    /// Opens when the terminal event is in the log.
    package let ending: Gate
    /// What it took of its client's limits; nil where nothing limits it.
    private let charge: LimitReceipt?
    private let commands: Mutex<(@Sendable (Command) -> Void)?>
    private let reads = Atomic<Int>(0)
    private let cancelOutcome = Mutex<UpstreamCancel?>(nil)

    package init(
        id: JobID, owner: String? = nil, plan: JobPlan, createdAt: Timestamp, log: EventLog, charge: LimitReceipt? = nil
    ) {
        self.id = id
        self.owner = owner
        self.plan = plan
        self.createdAt = createdAt
        self.log = log
        self.charge = charge
        self.commitment = Gate()
        self.ending = Gate()
        self.commands = Mutex(nil)
    }

    /// Ends the job as cancelled unless it is over; the upstream is told in the background.
    package func cancel(_ reason: Cancellation.Reason) { self.tell(.cancel(reason)) }

    /// Leaves the job to the next process where that can go on with it, and cancels it otherwise.
    func leave() { self.tell(.leave) }

    /// Gives back the job's permit, and what it took of its limits without using it up. Called before anybody hears of the end:
    /// who hears finds the permit free.
    /// - Parameters:
    ///   - terminal: nil when the job goes on in another process.
    ///   - wasAsked: whether the upstream can have heard of the job.
    func settle(_ terminal: JobEvent?, wasAsked: Bool) {
        self.charge?.settle(terminal.map { LimitRefund(after: $0, wasAsked: wasAsked) } ?? .nothing)
    }

    enum Command: Sendable {
        case cancel(Cancellation.Reason)
        case leave
    }

    private func tell(_ command: Command) {
        let listener = self.commands.withLock { $0 }
        listener?(command)
    }

    /// How often a client has asked where the job stands.
    var readCount: Int { self.reads.load(ordering: .relaxed) }

    /// Somebody watches the job or asks where it stands: a grace that runs begins anew.
    func noteRead() { self.reads.add(1, ordering: .relaxed) }

    /// What became of telling the upstream.
    package var upstreamCancel: UpstreamCancel? { self.cancelOutcome.withLock { $0 } }

    func noteUpstreamCancel(_ outcome: UpstreamCancel) { self.cancelOutcome.withLock { $0 = outcome } }

    func onCommand(_ action: (@Sendable (Command) -> Void)?) {
        self.commands.withLock { $0 = action }
    }
}

extension LimitRefund {
    /// Where the upstream was never asked, everything; where it was and bills nothing, all but the request. A refused prompt has
    /// used its turn: the upstream has read it.
    init(after terminal: JobEvent, wasAsked: Bool) {
        switch terminal {
        case .error(let error) where error.billed == .no:
            let reached = wasAsked && error.code != .upstreamUnreachable
            self = !reached ? .everything : error.code == .refused ? .nothing : .work
        case .cancelled(let cancellation) where cancellation.billed == .no: self = wasAsked ? .work : .everything
        case .error, .cancelled, .completed, .stage, .partialImage, .textDelta, .image: self = .nothing
        }
    }
}

/// Opens once and stays open; who comes before waits.
package final class Gate: Sendable {
    private let state = Mutex<State>(State())

    private struct State {
        var isOpen = false
        var waiting: [EventLoopPromise<Void>] = []
    }

    package init() {}

    package var isOpen: Bool { self.state.withLock { $0.isOpen } }

    package func open() {
        let waiting = self.state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for promise in waiting { promise.succeed() }
    }

    /// Succeeds when the gate opens; at once when it is open.
    package func opened(on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        let promise = eventLoop.makePromise(of: Void.self)
        let isOpen = self.state.withLock { state in
            if !state.isOpen { state.waiting.append(promise) }
            return state.isOpen
        }
        if isOpen { promise.succeed() }
        return promise.futureResult
    }
}
