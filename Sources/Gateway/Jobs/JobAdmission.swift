import Admission
import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import Logging
import NIOCore

/// From a create request to its job: a new one, or one that the request asks for again.
/// What does not wait, and each branch that does, is kept out of line, so that little waits with a stream (decision 0010).
struct JobAdmission: Sendable {
    let supervisor: JobSupervisor
    let keys: IdempotencyTable
    let uses: TicketUses
    let now: @Sendable () -> Timestamp
    let logger: Logger

    struct Admitted: Sendable {
        let job: JobView
        let route: RouteTable.Route
        let mode: ResponseMode
        /// Milliseconds that a client which waits does so at most; nil: to the end.
        var patience: Int?
        /// Where a resumed client stands.
        var lastEventID: String?
    }

    /// - Throws: client errors of the dialect's `decode`, `idempotency_mismatch`, and why no job could start.
    func admit(
        _ request: Request, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable
    ) async throws -> Admitted {
        let isKnown = self.isKnown(scope)
        do throws(GatewayError) {
            try CrossOriginPolicy.refuseForeignForm(scope)
            if !isKnown { try await scope.limits?.enter() }
        } catch {
            await RequestBodyReader.discard(request, connection: scope.connection)
            throw error
        }
        do {
            return try await self.admitRead(request, scope, match, live)
        } catch let error as GatewayError {
            if error.source != .client {
                scope.limits?.giveBack()
            } else if isKnown {
                // It was none of those that are there, so it has its turn like any other.
                try await scope.limits?.enterLate()
            }
            throw error
        }
    }

    private func admitRead(
        _ request: Request, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable
    ) async throws -> Admitted {
        let (body, lease) = try await RequestBodyReader.read(
            request, limit: live.table.server.maximumBodyBytes, budget: self.supervisor.budget,
            connection: scope.connection)
        defer { withExtendedLifetime(lease) {} }
        if let resumed = try await self.resumed(scope, match, body) {
            scope.limits?.giveBack()
            return resumed
        }
        let key = try IdempotencyKey(scope.headers, scope: Caller(scope).idempotencyScope)
        let decoded = try self.decode(scope, match, body)
        guard let key else { return try await self.start(decoded, lease, nil, scope, match, live) }
        let digest = RequestDigest(
            method: scope.method.rawValue, path: scope.path, contentType: scope.headers[.contentType], body: body)
        return try await self.admit(decoded, lease, key, digest, scope, match, live)
    }

    @inline(never)
    private func decode(
        _ scope: RequestScope, _ match: EndpointMatch, _ body: ByteBuffer
    ) throws(GatewayError) -> DecodedRequest {
        try match.dialect.decode(
            DialectRequest(headers: scope.headers, query: scope.query, parameters: match.parameters, body: body),
            endpoint: match.endpoint, operation: match.candidates.routes[0].operation)
    }

    @inline(never)
    private func start(
        _ decoded: DecodedRequest, _ body: PayloadLease?,
        _ idempotency: (key: IdempotencyKey, digest: RequestDigest)?, _ scope: RequestScope,
        _ match: EndpointMatch, _ live: LiveTable
    ) async throws(GatewayError) -> Admitted {
        do throws(GatewayError) {
            let decision = try self.decide(decoded, body, scope, match, live)
            try await scope.limits?.weigh(decision.plan)
            let mode = match.mode(asked: decoded.mode, headers: scope.headers)
            switch try await self.accept(decision.plan, self.terms(idempotency, mode, scope, match), scope.principal) {
            case .started(let job): return self.admitted(job, decision, mode, decoded, scope)
            case .existing(let id): return try await self.existing(id, decoded, scope, match)
            }
        } catch {
            // No job: a mistake of the client's has used its turn, anything else not even that.
            scope.limits?.giveBack(error.source == .client ? .work : .everything)
            throw error
        }
    }

    /// What becomes of the request, if the caller may have it.
    @inline(never)
    private func decide(
        _ decoded: DecodedRequest, _ body: PayloadLease?, _ scope: RequestScope, _ match: EndpointMatch,
        _ live: LiveTable
    ) throws(GatewayError) -> JobPlanner.Decision {
        var decision = try JobPlanner(live: live).plan(decoded, candidates: match.candidates)
        decision.plan.uploads = body
        guard scope.principal.mayCreate(on: decision.route) else { throw Principal.refusal }
        try scope.principal.checkBounds(decoded.image, resolved: decision.plan.request)
        return decision
    }

    @inline(never)
    private func admitted(
        _ job: Job, _ decision: JobPlanner.Decision, _ mode: ResponseMode, _ decoded: DecodedRequest,
        _ scope: RequestScope
    ) -> Admitted {
        self.logger.info(
            "job accepted",
            metadata: [
                "job_id": "\(job.id.text)", "request_id": "\(scope.id)", "route": "\(decision.route.name)",
                "upstream": "\(decision.plan.upstream.name)",
            ])
        return Admitted(
            job: JobView(job), route: decision.route, mode: mode, patience: decoded.patienceMilliseconds)
    }

    /// A ticket is used up by jobs that begin, by nothing else.
    private func accept(
        _ plan: JobPlan, _ terms: AcceptanceTerms, _ principal: Principal
    ) async throws(GatewayError) -> JobSupervisor.Acceptance {
        try self.uses.take(principal, now: self.now())
        do throws(GatewayError) {
            let acceptance = try await self.supervisor.accept(plan, terms)
            if case .existing = acceptance { self.uses.giveBack(principal) }
            return acceptance
        } catch {
            self.uses.giveBack(principal)
            throw error
        }
    }

    @inline(never)
    private func terms(
        _ idempotency: (key: IdempotencyKey, digest: RequestDigest)?, _ mode: ResponseMode, _ scope: RequestScope,
        _ match: EndpointMatch
    ) -> AcceptanceTerms {
        let caller = Caller(scope)
        return AcceptanceTerms(
            owner: caller.owner, clientAddress: caller.addressText, dialect: match.dialect.name, mode: mode,
            idempotency: idempotency, charge: scope.limits?.receipt)
    }

    /// The job that an idempotency key stands for.
    @inline(never)
    private func existing(
        _ id: JobID, _ decoded: DecodedRequest, _ scope: RequestScope, _ match: EndpointMatch
    ) async throws(GatewayError) -> Admitted {
        scope.limits?.giveBack()
        guard let job = try await self.supervisor.job(id) else {
            throw GatewayError(.conflict, "The job of this Idempotency-Key is over and no longer kept.")
        }
        return Admitted(
            job: job, route: self.route(of: job, match),
            mode: match.mode(asked: decoded.mode, headers: scope.headers), patience: decoded.patienceMilliseconds)
    }

    // MARK: Jobs asked for again

    /// A request that names an event of ours goes on with that event's job; anything else in its place is none of ours.
    @inline(never)
    private func resumed(
        _ scope: RequestScope, _ match: EndpointMatch, _ body: ByteBuffer
    ) async throws(GatewayError) -> Admitted? {
        guard let text = scope.headers[.lastEventID], let event = EventID(text) else { return nil }
        let job = try Caller(scope).reach(
            try await self.supervisor.job(event.job), event.job, at: self.now())
        // The body says at most how the client wants to be answered; an id is a matter of streams.
        let asked = (try? self.decode(scope, match, body))?.mode ?? .stream
        return Admitted(
            job: job, route: self.route(of: job, match), mode: match.mode(asked: asked, headers: scope.headers),
            lastEventID: text)
    }

    /// Whether the request, as far as its head tells, asks for a job that is there: such a one is not charged, so its limits must
    /// not refuse it either. What turns out to be another request is charged then.
    @inline(never)
    private func isKnown(_ scope: RequestScope) -> Bool {
        if let event = scope.headers[.lastEventID].flatMap({ EventID($0) }) {
            return self.supervisor.directory.find(event.job) != nil
        }
        guard let key = try? IdempotencyKey(scope.headers, scope: Caller(scope).idempotencyScope) else { return false }
        return self.keys.knows(key)
    }

    /// Of all equal requests one starts the job. The others find it, or wait until it is there.
    @inline(never)
    private func admit(
        _ decoded: DecodedRequest, _ body: PayloadLease?, _ key: IdempotencyKey, _ digest: RequestDigest,
        _ scope: RequestScope,
        _ match: EndpointMatch, _ live: LiveTable
    ) async throws -> Admitted {
        while true {
            switch self.keys.claim(key, digest, now: self.now()) {
            case .first:
                do {
                    let admitted = try await self.start(decoded, body, (key, digest), scope, match, live)
                    self.keys.fulfil(key, with: admitted.job.id)
                    return admitted
                } catch {
                    self.keys.abandon(key)
                    throw error
                }
            case .job(let id):
                return try await self.existing(id, decoded, scope, match)
            case .mismatch:
                throw GatewayError(
                    .idempotencyMismatch, "This Idempotency-Key was used for another request.",
                    parameter: "Idempotency-Key")
            case .wait(let gate):
                try await gate.opened(on: scope.connection.eventLoop).get()
            }
        }
    }

    /// The job's own route; after a reload without it, the first of this path.
    private func route(of job: JobView, _ match: EndpointMatch) -> RouteTable.Route {
        match.candidates.routes.first { $0.name == job.route } ?? match.candidates.routes[0]
    }
}
