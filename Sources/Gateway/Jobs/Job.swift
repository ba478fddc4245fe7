package import ImageGeneration
package import NIOCore
package import Storage
import Synchronization

/// One accepted request's work, as its readers and the rest of the gateway see it.
package final class Job: Sendable {
    package let id: JobID
    package let plan: JobPlan
    package let createdAt: Timestamp
    package let log: EventLog
    /// Opens when the upstream has answered for good or ill: from then on a response's status cannot improve.
    package let commitment: Gate
    private let canceller: Mutex<(@Sendable (Cancellation.Reason) -> Void)?>
    private let reads = Atomic<Int>(0)

    package init(id: JobID, plan: JobPlan, createdAt: Timestamp, log: EventLog) {
        self.id = id
        self.plan = plan
        self.createdAt = createdAt
        self.log = log
        self.commitment = Gate()
        self.canceller = Mutex(nil)
    }

    /// Ends the job as cancelled unless it is over; the upstream is told in the background.
    package func cancel(_ reason: Cancellation.Reason) {
        self.canceller.withLock { $0 }?(reason)
    }

    /// How often a client has asked where the job stands.
    var readCount: Int { self.reads.load(ordering: .relaxed) }

    func noteRead() { self.reads.add(1, ordering: .relaxed) }

    func onCancel(_ action: (@Sendable (Cancellation.Reason) -> Void)?) {
        self.canceller.withLock { $0 = action }
    }

    /// Where the job stands, folded from what its log retains.
    package var snapshot: JobSnapshot {
        let standing = self.log.standing
        var snapshot = JobSnapshot(
            job: self.id, route: self.plan.route, createdAt: self.createdAt, stage: standing.stage,
            progress: standing.progress, message: "", lastSequence: standing.last)
        for entry in self.log.retained {
            switch entry.event {
            case .stage(let change):
                snapshot.message = change.message
                snapshot.queuePosition = change.queuePosition
                if entry.stage > .queued, snapshot.startedAt == nil { snapshot.startedAt = entry.at }
            case .image(var image):
                image.payload = nil
                snapshot.images.append(image)
            case .completed, .error, .cancelled:
                snapshot.terminal = entry.event
                snapshot.finishedAt = entry.at
            case .partialImage, .textDelta:
                continue
            }
        }
        return snapshot
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
