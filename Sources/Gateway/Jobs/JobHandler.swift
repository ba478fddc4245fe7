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
/// 2. body, bounded: ``RequestBodyReader``
/// 3. decode: the dialect's `decode`
/// 4. route, terms, upstream: `Routing/JobPlanner.swift`
/// 5. job: `Jobs/JobSupervisor.swift`; from here on it lives without its client
/// 6. commit: the response's status is settled now, or once the upstream has answered
/// 7. tail and encode: `Jobs/StreamDelivery.swift`, `Jobs/AnswerDelivery.swift`
struct JobHandler: Sendable {
    let supervisor: JobSupervisor
    let deliveries: DeliveryRegistry
    let now: @Sendable () -> Timestamp
    let logger: Logger

    func respond(
        _ request: Request, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable,
        writer: consuming ResponseWriter, channel: any Channel
    ) async throws {
        let started: Started
        do {
            started = try await self.start(request, scope, match, live)
        } catch let error as GatewayError {
            return try await self.fail(error, scope, match.dialect, writer)
        }
        let context = EncoderContext(
            job: started.job.id, request: started.job.plan.request, delivery: started.job.plan.delivery,
            publicURL: live.publicURL, createdAt: started.job.createdAt)
        let subscription = started.job.log.subscribe()
        defer { self.left(started, subscription) }
        switch started.mode {
        case .stream:
            try await self.stream(started, context, subscription, scope, match, writer, channel)
        case .wait, .queue:
            try await self.answer(started, context, subscription, scope, match, writer)
        }
    }

    private struct Started: Sendable {
        let job: Job
        let route: RouteTable.Route
        let mode: ResponseMode
    }

    private func start(
        _ request: Request, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable
    ) async throws -> Started {
        let body = try await RequestBodyReader.read(
            request, limit: live.table.server.maximumBodyBytes, connection: scope.connection)
        let decoded = try match.dialect.decode(
            DialectRequest(headers: scope.headers, query: scope.query, body: body), endpoint: match.endpoint,
            operation: match.candidates.routes[0].operation)
        let decision = try JobPlanner(live: live).plan(decoded, candidates: match.candidates)
        let mode = match.mode(asked: decoded.mode, headers: scope.headers)
        let job = try self.supervisor.start(decision.plan)
        self.logger.info(
            "job accepted",
            metadata: [
                "job_id": "\(job.id.text)", "request_id": "\(scope.id)", "route": "\(decision.route.name)",
                "upstream": "\(decision.plan.upstream.name)",
            ])
        return Started(job: job, route: decision.route, mode: mode)
    }

    // MARK: Streamed responses

    private func stream(
        _ started: Started, _ context: EncoderContext, _ subscription: EventSubscription, _ scope: RequestScope,
        _ match: EndpointMatch, _ writer: consuming ResponseWriter, _ channel: any Channel
    ) async throws {
        if match.traits.head == .commit, let error = await self.refusalBeforeCommit(started, scope.connection) {
            return try await self.fail(error, scope, match.dialect, writer, job: started.job)
        }
        let head = HTTPResponse(status: .ok, headerFields: self.streamHeaders(started, scope, match))
        let delivery = StreamDelivery(
            job: started.job, subscription: subscription, encoder: match.dialect.makeStreamEncoder(context),
            channel: channel,
            terms: StreamDelivery.Terms(
                traits: match.traits, heartbeat: TimeAmount(started.route.heartbeat.every),
                heartbeatBytes: match.heartbeat(started.route.heartbeat.style),
                median: self.supervisor.median(for: started.job.plan), now: self.now),
            connection: scope.connection)
        self.deliveries.begin(delivery)
        await delivery.run(head: head, connection: scope.connection)
        self.deliveries.end(delivery)
    }

    /// Waits for the upstream's own answer, at most the route's `commit`.
    /// - Returns: why the job failed already, while the status can still tell.
    private func refusalBeforeCommit(_ started: Started, _ connection: ClientConnection) async -> GatewayError? {
        await connection.eventLoop.wait(
            for: started.job.commitment, atMost: TimeAmount(started.route.commit), connection)
        switch started.job.log.standing.terminal?.event {
        case .error(let error): return error
        case .cancelled: return GatewayError(.cancelled, "The job was cancelled.")
        case .completed, .stage, .partialImage, .textDelta, .image, nil: return nil
        }
    }

    private func streamHeaders(_ started: Started, _ scope: RequestScope, _ match: EndpointMatch) -> HTTPFields {
        var fields = scope.responseHeaders
        fields[.contentType] = match.traits.streamMediaType
        fields[.cacheControl] = "no-cache, no-transform"
        fields[.accelBuffering] = "no"
        fields[.jobID] = started.job.id.text
        return fields
    }

    // MARK: Whole answers

    private func answer(
        _ started: Started, _ context: EncoderContext, _ subscription: EventSubscription, _ scope: RequestScope,
        _ match: EndpointMatch, _ writer: consuming ResponseWriter
    ) async throws {
        if match.endpoint.action == .submit {
            let response = match.dialect.render(
                started.job.snapshot, endpoint: match.endpoint, context: context)
            return try await writer.writeWhole(response, adding: scope.responseHeaders)
        }
        var fields = scope.responseHeaders
        fields[.jobID] = started.job.id.text
        fields[.accelBuffering] = "no"
        let delivery = AnswerDelivery(
            job: started.job, heartbeat: TimeAmount(started.route.heartbeat.every), connection: scope.connection)
        let encoder = match.dialect.makeAnswerEncoder(context)
        self.deliveries.begin(nil)
        defer { self.deliveries.end(nil) }
        _ = try await delivery.run(
            subscription: subscription, encoder: encoder, writer: writer, headers: fields
        ) { error in match.dialect.render(error, requestID: scope.id) }
    }

    // MARK: States

    /// A job asked about or cancelled by its id, in the dialect's own form.
    func state(_ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable) -> DialectResponse {
        guard let id = match.id.flatMap({ JobID($0) }), let job = self.supervisor.job(id),
            match.candidates.routes.contains(where: { $0.name == job.plan.route })
        else {
            return match.dialect.render(GatewayError(.notFound, "There is no such job."), requestID: scope.id)
        }
        job.noteRead()
        if match.endpoint.action == .cancel { job.cancel(.client) }
        let context = EncoderContext(
            job: job.id, request: job.plan.request, delivery: job.plan.delivery, publicURL: live.publicURL,
            createdAt: job.createdAt)
        return match.dialect.render(job.snapshot, endpoint: match.endpoint, context: context)
    }

    // MARK: Endings

    /// The client's part is over: when it was the last to watch, the route says what becomes of the job. One that was only
    /// submitted was never watched, and goes on.
    private func left(_ started: Started, _ subscription: EventSubscription) {
        guard subscription.close(), started.mode != .queue, started.job.log.standing.terminal == nil else { return }
        self.supervisor.unwatched(started.job)
    }

    private func fail(
        _ error: GatewayError, _ scope: RequestScope, _ dialect: any Dialect, _ writer: consuming ResponseWriter,
        job: Job? = nil
    ) async throws {
        self.logger.log(
            level: error.code.logLevel, "request failed",
            metadata: ["code": "\(error.code.rawValue)", "request_id": "\(scope.id)", "path": "\(scope.path)"])
        var headers = scope.responseHeaders
        headers[.jobID] = job?.id.text
        try await writer.writeWhole(dialect.render(error, requestID: scope.id), adding: headers)
    }
}
