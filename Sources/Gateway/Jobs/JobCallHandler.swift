import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

/// Calls of a dialect that create no job: where one stands, its answer, its events, its cancellation, a list of them.
struct JobCallHandler: Sendable {
    let streams: JobStreams
    let uses: TicketUses

    private enum Reply {
        case whole(DialectResponse)
        case answer(JobStreams.Plan)
        case stream(JobStreams.Plan)
    }

    func respond(
        _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable, writer: consuming ResponseWriter,
        channel: any Channel
    ) async throws {
        let reply: Reply
        do throws(GatewayError) {
            reply = try await self.reply(match.call(scope, publicURL: live.publicURL), scope, match, live)
        } catch {
            return try await writer.writeWhole(match.dialect.render(error, requestID: scope.id), for: scope)
        }
        switch reply {
        case .whole(let response):
            try await writer.writeWhole(response, for: scope)
        case .answer(let plan):
            try await self.answer(plan, scope, live, writer)
        case .stream(let plan):
            try await self.streams.respond(plan, scope, live, writer: writer, channel: channel)
        }
    }

    private func reply(
        _ call: DialectCall, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable
    ) async throws(GatewayError) -> Reply {
        switch call.endpoint.action {
        case .list: return .whole(try await self.list(call, scope, match, live))
        case .describe: return .whole(try match.dialect.describe(call))
        case .create, .createStreaming, .submit, .snapshot, .answer, .stream, .cancel: break
        }
        // What is wrong with the call is said before anything is done.
        let wish = try match.dialect.follow(call)
        let job = try await self.job(scope, match)
        if call.endpoint.action == .cancel { await self.streams.supervisor.cancel(job, scope.connection) }
        guard wish.form != .snapshot else {
            let context = job.encoderContext(publicURL: live.publicURL, call: call)
            return .whole(
                match.dialect.render(self.streams.snapshot(of: job), endpoint: call.endpoint, context: context))
        }
        let route = match.candidates.routes.first { $0.name == job.route } ?? match.candidates.routes[0]
        // A job that was just cancelled is over, and its record has taken its place.
        let current = call.endpoint.action == .cancel ? try await self.streams.supervisor.job(job.id) ?? job : job
        let plan = await self.streams.plan(
            current,
            JobStreams.Wish(
                dialect: match.dialect, delivery: match.traits.delivery(of: job), heartbeat: route.heartbeat,
                position: wish.position, call: call))
        guard wish.form != .answer else { return .answer(plan) }
        try self.uses.takeFollowing(scope.principal, now: self.streams.now())
        return .stream(plan)
    }

    /// - Throws: `not_found`, also for a job of somebody else or of another path.
    private func job(_ scope: RequestScope, _ match: EndpointMatch) async throws(GatewayError) -> JobView {
        let id = match.id.flatMap { JobID($0) }
        var found: JobView?
        if let id { found = try await self.streams.supervisor.job(id) }
        let job = try Caller(scope).reach(found, id, at: self.streams.now())
        guard match.candidates.routes.contains(where: { $0.name == job.route }) else {
            throw GatewayError(.notFound, "There is no such job.")
        }
        job.running?.noteRead()
        return job
    }

    /// The answer as the job stands: its events are folded as far as there are any.
    private func answer(
        _ plan: JobStreams.Plan, _ scope: RequestScope, _ live: LiveTable, _ writer: consuming ResponseWriter
    ) async throws {
        let dialect = plan.wish.dialect
        var encoder = dialect.makeAnswerEncoder(
            plan.job.encoderContext(plan.wish.delivery, publicURL: live.publicURL, call: plan.wish.call))
        for event in plan.job.log.retained { encoder.add(event) }
        var fields = scope.responseHeaders
        fields[.jobID] = plan.job.id.text
        fields[.cacheControl] = "no-store"
        let delivery = AnswerDelivery(
            heartbeat: TimeAmount(plan.wish.heartbeat.every), connection: scope.connection,
            budget: self.streams.supervisor.budget)
        try await delivery.answer(
            &encoder, writer: writer, headers: fields, withoutBody: scope.method == .head
        ) { error in dialect.render(error, requestID: scope.id) }
    }

    private func list(
        _ call: DialectCall, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable
    ) async throws(GatewayError) -> DialectResponse {
        try Caller(scope).mayList()
        let names = Set(match.candidates.routes.map(\.name))
        let page = try await JobPage(scope).read(
            self.streams.supervisor, scope: .principal(Caller(scope).owner), routes: names)
        return match.dialect.render(
            page.jobs.map { (self.streams.snapshot(of: $0), $0.encoderContext(publicURL: live.publicURL, call: call)) },
            nextCursor: page.next)
    }
}
