import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import Logging
import NIOCore
import Storage

/// The spine: one request to a configured route, from its head to the end of its response.
///
/// 1. endpoint: `Routing/EndpointMatch.swift`
/// 2. limits of the request itself: `Limits/LimitGate.swift`
/// 3. body, bounded: ``RequestBodyReader``
/// 4. decode: the dialect's `decode`
/// 5. a job that is asked for again: ``JobAdmission``
/// 6. route, terms, upstream: `Routing/JobPlanner.swift`
/// 7. limits of what it asks for
/// 8. job: `Jobs/JobSupervisor.swift`; from here on it lives without its client
/// 9. commit: the response's status is settled now, or once the upstream has answered
/// 10. tail and encode: `Jobs/JobStreams.swift`, `Jobs/StreamDelivery.swift`, `Jobs/AnswerDelivery.swift`
///
/// What does not wait, and each branch that does, is kept out of line, so that little waits with a stream (decision 0010).
struct JobHandler: Sendable {
    let admission: JobAdmission
    let streams: JobStreams
    let limits: LimitGate
    let logger: Logger

    func respond(
        _ request: Request, _ unlimited: RequestScope, _ match: EndpointMatch, _ live: LiveTable,
        writer: consuming ResponseWriter, channel: any Channel
    ) async throws {
        var scope = unlimited
        scope.limits = self.limits.pass(unlimited, match, live.table)
        try await self.respond(request, limited: scope, match, live, writer: writer, channel: channel)
    }

    private func respond(
        _ request: Request, limited scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable,
        writer: consuming ResponseWriter, channel: any Channel
    ) async throws {
        let admitted: JobAdmission.Admitted
        let plan: JobStreams.Plan?
        do {
            admitted = try await self.admission.admit(request, scope, match, live)
            let wish = self.wish(admitted, match, match.call(scope, publicURL: live.publicURL))
            plan = admitted.mode == .queue ? nil : await self.streams.plan(admitted.job, wish)
        } catch let error as GatewayError {
            return try await self.fail(error, scope, match.dialect, writer)
        }
        guard let plan else { return try await self.answerAtOnce(admitted, scope, match, live, writer) }
        if admitted.mode == .stream, plan.point == .seen { return try await writer.writeNothingMore(plan.job, scope) }
        let subscription = admitted.mode == .stream ? self.streams.subscribe(plan) : plan.job.subscribe()
        defer { self.streams.left(plan.job, subscription) }
        guard admitted.mode == .stream else {
            return try await self.answer(plan, admitted.patience, subscription, scope, live, writer)
        }
        if match.traits.head == .commit, let error = await self.refusalBeforeCommit(admitted, scope.connection) {
            return try await self.fail(error, scope, match.dialect, writer, job: admitted.job)
        }
        await self.streams.run(plan, subscription: subscription, scope, publicURL: live.publicURL, channel: channel)
    }

    @inline(never)
    private func wish(
        _ admitted: JobAdmission.Admitted, _ match: EndpointMatch, _ call: DialectCall
    ) -> JobStreams.Wish {
        JobStreams.Wish(
            dialect: match.dialect, delivery: match.traits.delivery(of: admitted.job),
            heartbeat: admitted.route.heartbeat, position: admitted.lastEventID.map(StreamPosition.eventID),
            call: call)
    }

    /// Waits for the upstream's own answer, at most the route's `commit`.
    /// - Returns: why the job failed already, while the status can still tell.
    @inline(never)
    private func refusalBeforeCommit(
        _ admitted: JobAdmission.Admitted, _ connection: ClientConnection
    ) async -> GatewayError? {
        if let running = admitted.job.running {
            await connection.eventLoop.wait(
                for: running.commitment, atMost: TimeAmount(admitted.route.commit), connection)
        }
        switch admitted.job.log.standing.terminal?.event {
        case .error(let error): return error
        case .cancelled: return GatewayError(.cancelled, "The job was cancelled.")
        case .completed, .stage, .partialImage, .textDelta, .image, nil: return nil
        }
    }

    // MARK: Whole answers

    /// The job's snapshot; the client asks or follows later.
    @inline(never)
    private func answerAtOnce(
        _ admitted: JobAdmission.Admitted, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable,
        _ writer: consuming ResponseWriter
    ) async throws {
        let context = admitted.job.encoderContext(
            publicURL: live.publicURL, call: match.call(scope, publicURL: live.publicURL))
        var response = match.dialect.render(
            self.streams.snapshot(of: admitted.job), endpoint: match.endpoint, context: context)
        response.headers[.jobID] = admitted.job.id.text
        if Preferences.respondAsync(scope.headers) { response.headers[.preferenceApplied] = "respond-async" }
        try await writer.writeWhole(response, adding: scope.responseHeaders)
    }

    @inline(never)
    private func answer(
        _ plan: JobStreams.Plan, _ patience: Int?, _ subscription: EventSubscription, _ scope: RequestScope,
        _ live: LiveTable, _ writer: consuming ResponseWriter
    ) async throws {
        var fields = scope.responseHeaders
        fields[.jobID] = plan.job.id.text
        fields[.accelBuffering] = "no"
        let delivery = AnswerDelivery(
            heartbeat: TimeAmount(plan.wish.heartbeat.every), connection: scope.connection,
            budget: self.streams.supervisor.budget, patience: patience.map { .milliseconds(Int64($0)) })
        let dialect = plan.wish.dialect
        let encoder = dialect.makeAnswerEncoder(
            plan.job.encoderContext(plan.wish.delivery, publicURL: live.publicURL, call: plan.wish.call))
        self.streams.deliveries.begin(.whole(on: scope.connection))
        defer { self.streams.deliveries.end(.whole(on: scope.connection)) }
        let outcome = try await delivery.run(
            subscription: subscription, encoder: encoder, writer: writer, headers: fields
        ) { error in dialect.render(error, requestID: scope.id) }
        if outcome == .answered { plan.job.log.delivered.set() }
    }

    // MARK: Endings

    @inline(never)
    private func fail(
        _ error: GatewayError, _ scope: RequestScope, _ dialect: any Dialect, _ writer: consuming ResponseWriter,
        job: JobView? = nil
    ) async throws {
        self.logger.log(
            level: error.code.logLevel, "request failed",
            metadata: ["code": "\(error.code.rawValue)", "request_id": "\(scope.id)", "path": "\(scope.path)"])
        var headers = scope.responseHeaders
        headers[.jobID] = job?.id.text
        try await writer.writeWhole(dialect.render(error, requestID: scope.id), adding: headers)
    }
}

extension ResponseWriter {
    /// 204: the job is over and the client has seen all of it, so it need not come back.
    consuming func writeNothingMore(_ job: JobView, _ scope: RequestScope) async throws {
        var fields = scope.responseHeaders
        fields[.jobID] = job.id.text
        try await self.writeResponse(HTTPResponse(status: .noContent, headerFields: fields))
    }
}

extension DialectTraits {
    /// What events of this job carry here: as its route says, where the dialect can.
    func delivery(of job: JobView) -> Delivery {
        self.allowedDelivery.contains(job.delivery) ? job.delivery : self.defaultDelivery
    }
}

extension JobSupervisor {
    /// Cancels for a client, and waits until the job has its terminal event, whichever that is.
    func cancel(_ job: JobView, _ connection: ClientConnection) async {
        guard let running = job.running else { return }
        running.cancel(.client)
        await connection.eventLoop.wait(for: running.ending, atMost: .seconds(5), connection)
    }
}
