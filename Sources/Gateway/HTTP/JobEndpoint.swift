import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage
import StreamCodecs

/// The gateway's own calls about jobs, below `/v1/jobs`, whatever dialect they came by.
struct JobEndpoint: Sendable {
    let streams: JobStreams
    let uses: TicketUses

    /// One of the calls, found by its path.
    enum Call: Equatable {
        case list
        case job(JobID)
        case events(JobID)
        case live(JobID)
        case preview(JobID, imageIndex: Int)

        /// Nil where there is nothing.
        init?(path: String) {
            let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
            guard parts.starts(with: ["v1", "jobs"]) else { return nil }
            let rest = Array(parts.dropFirst(2))
            guard let first = rest.first else {
                self = .list
                return
            }
            guard let id = JobID(first) else { return nil }
            switch (rest.count, rest.dropFirst().first) {
            case (1, _): self = .job(id)
            case (2, "events"): self = .events(id)
            case (2, "live"): self = .live(id)
            case (3, "previews"):
                guard let index = Self.index(rest[2]) else { return nil }
                self = .preview(id, imageIndex: index)
            default: return nil
            }
        }

        /// Digits only, without leading zeros.
        static func index(_ text: some StringProtocol) -> Int? {
            guard (1...4).contains(text.utf8.count), let index = Int(text), index >= 0, String(index) == text else {
                return nil
            }
            return index
        }

        var methods: [HTTPRequest.Method] {
            if case .job = self { [.get, .head, .delete] } else { [.get, .head] }
        }
    }

    static func isResponsible(for path: String) -> Bool { path == "/v1/jobs" || path.hasPrefix("/v1/jobs/") }

    func respond(
        _ scope: RequestScope, _ live: LiveTable, writer: consuming ResponseWriter, channel: any Channel
    ) async throws {
        guard let call = Call(path: scope.path) else {
            let error = GatewayError(.notFound, "There is nothing at this path.")
            return try await writer.writeWhole(GatewayResponder.failure(error), for: scope)
        }
        guard call.methods.contains(scope.method) else {
            var response = GatewayResponder.failure(
                GatewayError(.methodNotAllowed, "\(scope.method.rawValue) is not allowed here."))
            response.headers[.allow] = call.methods.map(\.rawValue).joined(separator: ", ")
            return try await writer.writeWhole(response, for: scope)
        }
        switch call {
        case .list:
            try await writer.writeWhole(await self.list(scope, live), for: scope)
        case .job(let id):
            try await writer.writeWhole(await self.snapshot(id, scope, live), for: scope)
        case .events(let id):
            try await self.events(id, scope, live, writer, channel)
        case .live(let id):
            try await self.live(id, scope, live, writer)
        case .preview(let id, let index):
            try await self.preview(id, index, scope, writer)
        }
    }

    /// - Throws: `not_found`, also for a job of somebody else.
    func job(_ id: JobID, _ scope: RequestScope) async throws(GatewayError) -> JobView {
        let job = try Caller(scope).reach(
            try await self.streams.supervisor.job(id), id, at: self.streams.now())
        job.running?.noteRead()
        return job
    }

    // MARK: Documents

    private func list(_ scope: RequestScope, _ live: LiveTable) async -> DialectResponse {
        do {
            try Caller(scope).mayList()
            return try await JobPage(scope).read(
                self.streams.supervisor, scope: .principal(Caller(scope).owner)
            ).response(self.streams.supervisor, live)
        } catch {
            return GatewayResponder.failure(error)
        }
    }

    /// Where the job stands; with DELETE, after it was cancelled.
    private func snapshot(_ id: JobID, _ scope: RequestScope, _ live: LiveTable) async -> DialectResponse {
        do {
            let job = try await self.job(id, scope)
            if scope.method == .delete { await self.streams.supervisor.cancel(job, scope.connection) }
            var response = UnifiedSnapshot.response(
                self.streams.supervisor.payloads.snapshot(of: job),
                action: scope.method == .delete ? .cancel : .snapshot,
                context: job.encoderContext(publicURL: live.publicURL))
            response.headers[.cacheControl] = "no-store"
            return response
        } catch {
            return GatewayResponder.failure(error)
        }
    }

    // MARK: Events

    private func events(
        _ id: JobID, _ scope: RequestScope, _ live: LiveTable, _ writer: consuming ResponseWriter,
        _ channel: any Channel
    ) async throws {
        let plan: JobStreams.Plan
        do {
            let job = try await self.job(id, scope)
            plan = await self.streams.plan(job, try self.wish(job, scope, live))
            try self.uses.takeFollowing(scope.principal, now: self.streams.now())
        } catch {
            return try await writer.writeWhole(GatewayResponder.failure(error), for: scope)
        }
        try await self.streams.respond(plan, scope, live, writer: writer, channel: channel)
    }

    private func wish(
        _ job: JobView, _ scope: RequestScope, _ live: LiveTable
    ) throws(GatewayError) -> JobStreams.Wish {
        let name = scope.query("dialect") ?? "unified"
        guard let dialect = DialectRegistry.dialect(named: name) else {
            throw GatewayError(
                .invalidParameter,
                "dialect must be one of \(DialectRegistry.dialects.map(\.name).joined(separator: ", ")).",
                parameter: "dialect")
        }
        return JobStreams.Wish(
            dialect: dialect, delivery: dialect.traits.delivery(of: job),
            heartbeat: self.heartbeat(of: job, dialect, live),
            position: (scope.headers[.lastEventID] ?? scope.query("last_event_id")).map(StreamPosition.eventID))
    }

    /// As often as the job's route says; in the route's style only in the route's dialect.
    private func heartbeat(
        of job: JobView, _ dialect: any Dialect, _ live: LiveTable
    ) -> RouteTable.Heartbeat {
        let route = live.table.routes.first { $0.name == job.route }
        return RouteTable.Heartbeat(
            every: route?.heartbeat.every ?? .seconds(15),
            style: route?.dialect == dialect.name ? route?.heartbeat.style : nil)
    }
}
