import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Storage

/// Follows jobs for clients: subscribes, brings an encoder to where the client stands, writes, and sees to what becomes of the job
/// when the last one has gone.
struct JobStreams: Sendable {
    let supervisor: JobSupervisor
    let deliveries: DeliveryRegistry
    let now: @Sendable () -> Timestamp

    /// How a client wants a job told.
    struct Wish: Sendable {
        var dialect: any Dialect
        var delivery: Delivery
        var heartbeat: RouteTable.Heartbeat
        /// The last event that the client has seen, in whatever form it says so.
        var lastEventID: String?
    }

    /// What a wish comes to.
    struct Plan: Sendable {
        let job: JobView
        let wish: Wish
        let point: ResumePoint
    }

    func plan(_ job: JobView, _ wish: Wish) async -> Plan {
        let whole = await self.supervisor.payloads.complete(
            job, delivery: wish.delivery, in: self.supervisor.directory)
        // Other dialects have no ids: their streams always begin at the first event.
        guard wish.dialect.traits.resumable else { return Plan(job: whole, wish: wish, point: .after(nil)) }
        let point = ResumePoint.find(
            wish.lastEventID, in: whole.log, of: whole.id, needsPayloads: wish.delivery.carriesPayload)
        return Plan(job: whole, wish: wish, point: point)
    }

    static func headers(_ plan: Plan, _ scope: RequestScope) -> HTTPFields {
        var fields = scope.responseHeaders
        fields[.contentType] = plan.wish.dialect.traits.streamMediaType
        fields[.cacheControl] = "no-cache, no-transform"
        fields[.accelBuffering] = "no"
        fields[.jobID] = plan.job.id.text
        return fields
    }

    /// Writes the whole response to the channel. A plan that is `seen` has nothing to stream.
    func run(
        _ plan: Plan, subscription: EventSubscription, _ scope: RequestScope, publicURL: String, channel: any Channel
    ) async {
        let context = plan.job.encoderContext(plan.wish.delivery, publicURL: publicURL)
        var encoder = plan.wish.dialect.makeStreamEncoder(context)
        let resumption = self.resume(plan, &encoder)
        let traits = plan.wish.dialect.traits
        let delivery = StreamDelivery(
            subscription: subscription, encoder: encoder, channel: channel,
            terms: StreamDelivery.Terms(
                traits: traits, heartbeat: TimeAmount(plan.wish.heartbeat.every),
                heartbeatBytes: traits.heartbeat(plan.wish.heartbeat.style),
                median: plan.job.running.map { self.supervisor.median(for: $0.plan) } ?? 1, now: self.now,
                createdAt: plan.job.createdAt, upstream: plan.job.upstream, budget: self.supervisor.budget),
            connection: scope.connection, resumption: resumption)
        self.deliveries.begin(delivery)
        let head = HTTPResponse(status: .ok, headerFields: Self.headers(plan, scope))
        if case .finished = await delivery.run(head: head, connection: scope.connection) {
            plan.job.log.delivered.set()
        }
        self.deliveries.end(delivery)
    }

    /// Where the stream begins, for a plan made before.
    func subscribe(_ plan: Plan) -> EventSubscription {
        if case .after(let position) = plan.point { return plan.job.subscribe(after: position) }
        return plan.job.subscribe()
    }

    private func resume(_ plan: Plan, _ encoder: inout any DialectEncoder) -> StreamDelivery.Resumption? {
        let log = plan.job.log
        if case .after(nil) = plan.point { return nil }
        let standing = log.standing
        switch plan.point {
        case .after(nil), .seen:
            return nil
        case .after(let position?):
            for event in log.retained where event.sequence <= position { encoder.skip(event) }
            return StreamDelivery.Resumption(stage: standing.stage, progress: standing.progress)
        case .gap(let reason):
            let gap = LogGap(
                reason: reason, oldest: standing.oldest ?? standing.last, snapshot: plan.job.snapshot)
            return StreamDelivery.Resumption(stage: standing.stage, progress: standing.progress, gap: gap)
        }
    }

    /// The client's part is over: when it was the last to watch, the route says what becomes of the job.
    func left(_ job: JobView, _ subscription: EventSubscription) {
        guard subscription.close(), let running = job.running, job.log.standing.terminal == nil else { return }
        self.supervisor.unwatched(running)
    }
}
