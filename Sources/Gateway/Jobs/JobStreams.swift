import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

/// Follows jobs for clients: subscribes, brings an encoder to where the client stands, writes, and sees to what becomes of the job
/// when the last one has gone.
/// What does not wait, and each branch that does, is kept out of line, so that little waits with a stream (decision 0010).
struct JobStreams: Sendable {
    let supervisor: JobSupervisor
    let deliveries: DeliveryRegistry
    let now: @Sendable () -> Timestamp

    /// How a client wants a job told.
    struct Wish: Sendable {
        var dialect: any Dialect
        var delivery: Delivery
        var heartbeat: RouteTable.Heartbeat
        /// Where the client stands; nil: at the beginning.
        var position: StreamPosition?
        /// Nil on the gateway's own paths.
        var call: DialectCall?
    }

    /// What a wish comes to.
    struct Plan: Sendable {
        let job: JobView
        let wish: Wish
        let point: ResumePoint
        /// What the client has seen of the first event that it is told.
        var seen: EventPart?
    }

    func plan(_ job: JobView, _ wish: Wish) async -> Plan {
        // Most jobs run, and then there is nothing to look for.
        guard job.running == nil else { return Self.plan(job, wish) }
        let whole = await self.supervisor.payloads.complete(
            job, delivery: wish.delivery, in: self.supervisor.directory)
        return Self.plan(whole, wish)
    }

    @inline(never)
    private static func plan(_ whole: JobView, _ wish: Wish) -> Plan {
        switch wish.position {
        // Dialects without ids always begin at the first event.
        case .eventID(let text) where wish.dialect.traits.resumable:
            let point = ResumePoint.find(
                text, in: whole.log, of: whole.id, needsPayloads: wish.delivery.carriesPayload)
            return Plan(job: whole, wish: wish, point: point)
        case .part(let part):
            guard let point = ResumePoint.find(part, in: whole.log) else { break }
            return Plan(job: whole, wish: wish, point: point, seen: part)
        case .eventID, nil: break
        }
        return Plan(job: whole, wish: wish, point: .after(nil))
    }

    /// Where the job stands, with how long it may still take: as the upstream says, else as earlier jobs took.
    func snapshot(of job: JobView) -> JobSnapshot {
        var snapshot = self.supervisor.payloads.snapshot(of: job)
        guard snapshot.terminal == nil, let running = job.running else {
            snapshot.estimatedMilliseconds = nil
            return snapshot
        }
        let begun = snapshot.startedAt ?? self.now()
        let elapsed = Int(self.now().milliseconds - begun.milliseconds)
        let usual = max(0, self.supervisor.median(for: running.plan) - elapsed)
        snapshot.estimatedMilliseconds = snapshot.estimatedMilliseconds ?? usual
        return snapshot
    }

    @inline(never)
    static func headers(_ plan: Plan, _ scope: RequestScope) -> HTTPFields {
        var fields = scope.responseHeaders
        fields.add([
            HTTPField(name: .contentType, value: plan.wish.dialect.traits.streamMediaType),
            HTTPField(name: .cacheControl, value: "no-cache, no-transform"),
            HTTPField(name: .accelBuffering, value: "no"),
            HTTPField(name: .jobID, value: plan.job.id.text),
        ])
        for field in plan.wish.dialect.traits.streamHeaders { fields[field.name] = field.value }
        return fields
    }

    /// Answers a request for a job's events, from its head to the end of the stream.
    func respond(
        _ plan: Plan, _ scope: RequestScope, _ live: LiveTable, writer: consuming ResponseWriter, channel: any Channel
    ) async throws {
        if plan.point == .seen { return try await writer.writeNothingMore(plan.job, scope) }
        if scope.method == .head {
            let fields = Self.headers(plan, scope)
            return try await writer.writeResponse(HTTPResponse(status: .ok, headerFields: fields))
        }
        let subscription = self.subscribe(plan)
        defer { self.left(plan.job, subscription) }
        await self.run(plan, subscription: subscription, scope, publicURL: live.publicURL, channel: channel)
    }

    /// Writes the whole response to the channel. A plan that is `seen` has nothing to stream.
    func run(
        _ plan: Plan, subscription: EventSubscription, _ scope: RequestScope, publicURL: String, channel: any Channel
    ) async {
        let delivery = self.delivery(plan, subscription, scope, publicURL, channel)
        self.deliveries.begin(.stream(delivery))
        // No variable: the fields would be kept until the stream ends.
        delivery.begin(HTTPResponse(status: .ok, headerFields: Self.headers(plan, scope)), scope.connection)
        if case .finished = await delivery.end(scope.connection) { plan.job.log.delivered.set() }
        self.deliveries.end(.stream(delivery))
    }

    @inline(never)
    private func delivery(
        _ plan: Plan, _ subscription: EventSubscription, _ scope: RequestScope, _ publicURL: String,
        _ channel: any Channel
    ) -> StreamDelivery {
        let context = plan.job.encoderContext(
            plan.wish.delivery, publicURL: publicURL, call: plan.wish.call, seen: plan.seen)
        var encoder = plan.wish.dialect.makeStreamEncoder(context)
        let resumption = self.resume(plan, &encoder)
        let traits = plan.wish.dialect.traits
        return StreamDelivery(
            subscription: subscription, encoder: encoder, channel: channel,
            terms: StreamDelivery.Terms(
                traits: traits, heartbeat: TimeAmount(plan.wish.heartbeat.every),
                heartbeatStyle: plan.wish.heartbeat.style,
                median: plan.job.running.map { self.supervisor.median(for: $0.plan) } ?? 1, now: self.now,
                createdAt: plan.job.createdAt, upstream: plan.job.upstream, budget: self.supervisor.budget),
            connection: scope.connection, resumption: resumption)
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
