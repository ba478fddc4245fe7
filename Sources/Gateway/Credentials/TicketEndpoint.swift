import Admission
import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import StreamCodecs
import Tokens

/// `POST /v1/tickets`: a token's holder gets something that a page may have.
struct TicketEndpoint: Sendable {
    let keys: SigningKeys
    let supervisor: JobSupervisor
    let now: @Sendable () -> Timestamp

    static let path = "/v1/tickets"
    private static let maximumBody = 16 << 10

    func respond(
        _ request: Request, _ scope: RequestScope, _ live: LiveTable, writer: consuming ResponseWriter
    ) async throws {
        let response: DialectResponse
        do {
            response = try await self.answer(request, scope, live)
        } catch let error as GatewayError {
            response = GatewayResponder.failure(error)
        }
        try await writer.writeWhole(response, for: scope)
    }

    private func answer(_ request: Request, _ scope: RequestScope, _ live: LiveTable) async throws -> DialectResponse {
        guard scope.method == .post else {
            var response = GatewayResponder.failure(GatewayError(.methodNotAllowed, "A ticket is made with POST."))
            response.headers[.allow] = "POST"
            return response
        }
        let principal = scope.principal
        guard principal.kind == .token || principal.kind == .jwt, let id = principal.id else {
            await RequestBodyReader.discard(request, connection: scope.connection)
            throw GatewayError(.forbidden, "A ticket is made with a token.")
        }
        let (body, _) = try await RequestBodyReader.read(
            request, limit: Self.maximumBody, budget: self.supervisor.budget, connection: scope.connection)
        let wish = try TicketWish(body)
        let route = try self.route(wish, principal, live.table)
        if let job = wish.bounds.job { try await self.checkJob(job, scope) }
        let now = self.now()
        let longest = live.table.auth.ticketLifetime.milliseconds
        let end = now.advanced(byMilliseconds: min(wish.lifetimeMilliseconds ?? longest, longest))
        let ticket = Ticket(
            principal: id, token: principal.token, scopes: route?.scopes.sorted() ?? [], limits: principal.limits,
            claims: principal.claims.filter { live.table.limitingClaims.contains($0.key) },
            expiresAt: min(end, principal.expiresAt ?? end), bounds: wish.bounds, epoch: self.supervisor.epoch)
        guard let text = self.keys.sign(ticket) else {
            throw GatewayError(.invalidParameter, "The ticket would be too long.")
        }
        return Self.response(ticket, text, publicURL: live.publicURL, now: now)
    }

    private func route(
        _ wish: TicketWish, _ principal: Principal, _ table: RouteTable
    ) throws(GatewayError) -> RouteTable.Route? {
        guard let name = wish.bounds.routes.first else { return nil }
        guard let route = table.routes.first(where: { $0.name == name }) else {
            throw GatewayError(.invalidParameter, "There is no such route.", parameter: "route")
        }
        guard principal.mayCreate(on: route) else { throw Principal.refusal }
        return route
    }

    private func checkJob(_ text: String, _ scope: RequestScope) async throws(GatewayError) {
        guard let id = JobID(text) else { throw GatewayError(.notFound, "There is no such job.") }
        _ = try Caller(scope).reach(try await self.supervisor.job(id), id, at: self.now())
    }

    private static func response(
        _ ticket: Ticket, _ text: String, publicURL: String, now: Timestamp
    ) -> DialectResponse {
        var json = JSONWriter()
        json.beginObject()
        json.field("ticket", text)
        json.field("expires_at", ticket.expiresAt.rfc3339)
        json.field("expires_in", max(0, ticket.expiresAt.milliseconds - now.milliseconds) / 1000)
        json.field("route", ticket.bounds.routes.first)
        json.field("model", ticket.bounds.model)
        json.field("size", ticket.bounds.size)
        json.field("n", ticket.bounds.maximumCount)
        json.field("job", ticket.bounds.job)
        json.field("origin", ticket.bounds.origin)
        json.field("uses", ticket.bounds.uses)
        if let job = ticket.bounds.job { json.field("events_url", "\(publicURL)/v1/jobs/\(job)/events?ticket=\(text)") }
        json.endObject()
        var fields = HTTPFields()
        fields[.contentType] = "application/json"
        fields[.cacheControl] = "no-store"
        return DialectResponse(status: 201, headers: fields, body: json.buffer)
    }
}

/// What a request for a ticket says.
struct TicketWish: Equatable, Sendable {
    var bounds: TicketGrant.Bounds
    /// Nil: as long as tickets are good for.
    var lifetimeMilliseconds: Int64?

    /// Unicode scalars of texts, and the largest counts.
    enum Most {
        static let name = 128
        static let model = 256
        static let size = 64
        static let origin = 267
        static let pictures = 100
        static let uses = 1000
        static let seconds = 3600
    }

    private static let keys: Set<String> = ["route", "model", "size", "n", "job", "uses", "origin", "expires_in"]

    /// - Throws: `invalid_json`, `invalid_parameter`.
    init(_ body: ByteBuffer) throws(GatewayError) {
        let root: JSONNode
        do throws(JSONSyntaxError) {
            root = try JSONDocument(body, maximumNesting: 4, maximumNodes: 256).root
        } catch {
            throw GatewayError(
                .invalidJSON, "The body is not JSON: line \(error.line), column \(error.column): \(error.message).")
        }
        guard root.kind == .object else { throw GatewayError(.invalidParameter, "The body must be a JSON object.") }
        if let unknown = root.members.first(where: { !Self.keys.contains($0.key) }) {
            throw GatewayError(
                .invalidParameter, "There is no such field.", parameter: String(unknown.key.prefix(100)))
        }
        let route = try Self.text(root, "route", limit: Most.name)
        let job = try Self.text(root, "job", limit: Most.name)
        guard (route == nil) != (job == nil) else {
            throw GatewayError(.invalidParameter, "A ticket is for a route or for a job.", parameter: "route")
        }
        self.bounds = TicketGrant.Bounds(
            job: job, routes: route.map { [$0] } ?? [], model: try Self.text(root, "model", limit: Most.model),
            size: try Self.text(root, "size", limit: Most.size),
            maximumCount: try Self.count(root, "n", most: Most.pictures),
            origin: try Self.origin(root), uses: try Self.count(root, "uses", most: Most.uses))
        if job == nil { self.bounds.uses = self.bounds.uses ?? 1 }
        self.lifetimeMilliseconds = try Self.count(root, "expires_in", most: Most.seconds).map { Int64($0) * 1000 }
        guard job == nil || self.bounds.model == nil && self.bounds.size == nil && self.bounds.maximumCount == nil
        else {
            throw GatewayError(.invalidParameter, "A ticket for a job creates nothing.", parameter: "job")
        }
    }

    private static func text(_ root: JSONNode, _ key: String, limit: Int) throws(GatewayError) -> String? {
        guard let node = root[key], !node.isNull else { return nil }
        guard let text = node.string, (1...limit).contains(text.unicodeScalars.count) else {
            throw GatewayError(.invalidParameter, "\(key) must be text of 1 to \(limit) characters.", parameter: key)
        }
        return text
    }

    private static func count(_ root: JSONNode, _ key: String, most: Int) throws(GatewayError) -> Int? {
        guard let node = root[key], !node.isNull else { return nil }
        guard let count = node.integer.flatMap({ Int(exactly: $0) }), (1...most).contains(count) else {
            throw GatewayError(.invalidParameter, "\(key) must be 1 to \(most).", parameter: key)
        }
        return count
    }

    /// As browsers write origins, and as `server.cors` takes them.
    private static func origin(_ root: JSONNode) throws(GatewayError) -> String? {
        guard let text = try Self.text(root, "origin", limit: Most.origin) else { return nil }
        guard NetworkNames.isOrigin(text) else {
            throw GatewayError(
                .invalidParameter, "origin must be an origin such as \"https://app.example\".", parameter: "origin")
        }
        return text
    }
}
