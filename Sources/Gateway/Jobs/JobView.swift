package import Dialects
package import ImageGeneration
package import Storage

/// One job as its readers see it, whether it runs or is over. A class, since it is large and much passed on.
package final class JobView: Sendable {
    package let id: JobID
    /// Nil for nobody.
    package let owner: String?
    /// Name of the route it came by.
    package let route: String
    package let request: ImageRequest
    package let delivery: Delivery
    /// Name of the upstream that works for it.
    package let upstream: String
    package let createdAt: Timestamp
    package let log: EventLog
    /// Nil once the job is over and its upstream told.
    package let running: Job?
    private let settledCancel: UpstreamCancel?

    package init(_ job: Job) {
        self.id = job.id
        self.owner = job.owner
        self.route = job.plan.route
        self.request = job.plan.request
        self.delivery = job.plan.delivery
        self.upstream = job.plan.upstream.name
        self.createdAt = job.createdAt
        self.log = job.log
        self.running = job
        self.settledCancel = nil
    }

    package init(_ record: JobRecord) {
        self.id = record.id
        self.owner = record.owner
        self.route = record.route
        self.request = record.request
        self.delivery = record.delivery
        self.upstream = record.upstream
        self.createdAt = record.createdAt
        self.log = EventLog(retained: record.events, lostThrough: record.lostThrough)
        self.running = nil
        self.settledCancel = record.upstreamCancel
    }

    /// Where the job stands, folded from what its log retains.
    package var snapshot: JobSnapshot {
        let standing = self.log.standing
        var snapshot = JobSnapshot(
            job: self.id, route: self.route, createdAt: self.createdAt, stage: standing.stage,
            progress: standing.progress, message: "", lastSequence: standing.last,
            upstreamCancel: self.running?.upstreamCancel ?? self.settledCancel)
        for entry in self.log.retained { snapshot.fold(entry) }
        return snapshot
    }

    /// A new subscription; while it lasts the job is not left alone.
    func subscribe(after position: EventSequence? = nil) -> EventSubscription {
        self.running?.noteRead()
        return self.log.subscribe(after: position)
    }

    func encoderContext(
        _ delivery: Delivery? = nil, publicURL: String, call: DialectCall? = nil, seen: EventPart? = nil
    ) -> EncoderContext {
        var generator = PooledRandomNumbers()
        return EncoderContext(
            job: self.id, request: self.request, delivery: delivery ?? self.delivery, publicURL: publicURL,
            createdAt: self.createdAt, retryMilliseconds: .random(in: 1000...4000, using: &generator), call: call,
            seen: seen)
    }
}

extension JobSnapshot {
    fileprivate mutating func fold(_ entry: SequencedEvent) {
        switch entry.event {
        case .stage(let change):
            self.message = change.message
            self.queuePosition = change.queuePosition
            self.estimatedMilliseconds = change.estimatedMilliseconds
            if entry.stage > .queued, self.startedAt == nil { self.startedAt = entry.at }
        case .image(var image):
            image.payload = nil
            self.images.append(image)
        case .completed, .error, .cancelled:
            self.terminal = entry.event
            self.finishedAt = entry.at
        case .partialImage, .textDelta:
            break
        }
    }
}
