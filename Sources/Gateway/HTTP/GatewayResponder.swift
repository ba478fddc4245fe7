import Admission
import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import Logging
import NIOCore
import StreamCodecs
import Web

/// The public listener: configured routes first, then the gateway's own paths.
struct GatewayResponder: Sendable {
    let tables: TableHolder
    let jobs: JobHandler
    let ownJobs: JobEndpoint
    let images: ImageEndpoint?
    let authenticator: Authenticator
    let tickets: TicketEndpoint
    /// Whether the page at `/` is served.
    let showsPlayground: @Sendable () -> Bool

    /// What follows is in functions that are never inlined: the frame of an async function has room for all that its branches need,
    /// and this one waits until the stream ends (decision 0010).
    func respond(
        _ request: Request, writer: consuming ResponseWriter, channel: any Channel, connection: ClientConnection
    ) async throws {
        let live = self.tables.current
        let (scope, reception) = self.receive(request, connection, live)
        switch reception {
        case .preflight(let fields):
            try await writer.writeResponse(HTTPResponse(status: .noContent, headerFields: fields))
        case .refused(let response):
            await RequestBodyReader.discard(request, connection: connection)
            try await writer.writeWhole(response, for: scope)
        case .admitted(let lookup):
            let watch = self.authenticator.watch(scope.principal, channel)
            defer { watch?.giveUp() }
            switch lookup {
            case .found(let match): try await self.configured(request, scope, match, live, writer, channel)
            case .wrongMethod(let dialect, let allowed):
                try await writer.writeWhole(Self.wrongMethod(dialect, allowed, scope), for: scope)
            case .unknown: try await self.own(request, scope, live, writer, channel)
            }
        }
    }

    private enum Reception {
        case preflight(HTTPFields)
        case refused(DialectResponse)
        case admitted(EndpointMatch.Lookup)
    }

    /// Finds out what is asked for, and who asks.
    @inline(never)
    private func receive(
        _ request: Request, _ connection: ClientConnection, _ live: LiveTable
    ) -> (RequestScope, Reception) {
        var scope = RequestScope(request, connection: connection, edge: live.edge)
        if let fields = scope.edge.origins.preflight(scope) { return (scope, .preflight(fields)) }
        let lookup = EndpointMatch.find(scope.method, path: scope.path, in: live.table)
        do throws(GatewayError) {
            scope.principal = try self.principal(scope, lookup, live.table)
        } catch {
            return (scope, .refused(Self.refusal(error, scope, lookup)))
        }
        return (scope, .admitted(lookup))
    }

    @inline(never)
    private func configured(
        _ request: Request, _ scope: RequestScope, _ match: EndpointMatch, _ live: LiveTable,
        _ writer: consuming ResponseWriter, _ channel: any Channel
    ) async throws {
        switch match.endpoint.action {
        case .create, .createStreaming, .submit:
            try await self.jobs.respond(request, scope, match, live, writer: writer, channel: channel)
        case .snapshot, .answer, .stream, .cancel, .list, .describe:
            let calls = JobCallHandler(streams: self.jobs.streams, uses: self.ownJobs.uses)
            try await calls.respond(scope, match, live, writer: writer, channel: channel)
        }
    }

    @inline(never)
    private func own(
        _ request: Request, _ scope: RequestScope, _ live: LiveTable, _ writer: consuming ResponseWriter,
        _ channel: any Channel
    ) async throws {
        if JobEndpoint.isResponsible(for: scope.path) {
            try await self.ownJobs.respond(scope, live, writer: writer, channel: channel)
        } else if scope.path == TicketEndpoint.path {
            try await self.tickets.respond(request, scope, live, writer: writer)
        } else if let images = self.images, let name = ImageEndpoint.name(in: scope.path) {
            try await images.respond(scope, name: name, requester: ImageRequester(scope.principal), writer: writer)
        } else {
            try await writer.writeWhole(self.own(scope, live), for: scope)
        }
    }

    // MARK: Who asks

    private func principal(
        _ scope: RequestScope, _ lookup: EndpointMatch.Lookup, _ table: RouteTable
    ) throws(GatewayError) -> Principal {
        switch lookup {
        case .found(let match):
            let routes = match.candidates.routes
            let principal = try self.authenticator.principal(scope, routes[0].auth, table)
            let isAllowed = match.endpoint.action.createsJobs ? Principal.mayCreate : Principal.mayAsk
            guard routes.contains(where: { isAllowed(principal)($0) }) else { throw Principal.refusal }
            return principal
        case .wrongMethod:
            return .nobody
        case .unknown:
            guard let demand = Self.demand(scope) else { return .nobody }
            return try self.authenticator.principal(scope, demand, table)
        }
    }

    /// What the gateway's own paths ask for; nil where it does not matter who asks.
    private static func demand(_ scope: RequestScope) -> RouteAuth? {
        if scope.path == TicketEndpoint.path { return .required }
        if JobEndpoint.isResponsible(for: scope.path) { return .optional }
        // A signed URL needs nobody.
        if ImageEndpoint.name(in: scope.path) != nil { return scope.rawQuery == nil ? .optional : .public }
        return nil
    }

    @inline(never)
    private static func wrongMethod(
        _ dialect: any Dialect, _ allowed: [HTTPRequest.Method], _ scope: RequestScope
    ) -> DialectResponse {
        let error = GatewayError(.methodNotAllowed, "\(scope.method.rawValue) is not allowed here.")
        var response = dialect.render(error, requestID: scope.id)
        response.headers[.allow] = allowed.map(\.rawValue).joined(separator: ", ")
        return response
    }

    private static func refusal(
        _ error: GatewayError, _ scope: RequestScope, _ lookup: EndpointMatch.Lookup
    ) -> DialectResponse {
        if case .found(let match) = lookup { return match.dialect.render(error, requestID: scope.id) }
        return Self.failure(error)
    }

    // MARK: The gateway's own paths

    private func own(_ scope: RequestScope, _ live: LiveTable) -> DialectResponse {
        do {
            if let asset = WebAssets.clientAsset(at: scope.path) { return try Self.browserClient(asset, scope) }
            if let document = Self.document(scope, live) {
                guard scope.method == .get || scope.method == .head else {
                    throw GatewayError(.methodNotAllowed, "This is read with GET.")
                }
                return document()
            }
            if self.showsPlayground(), let response = try self.playground(scope, live) { return response }
            throw GatewayError(.notFound, "There is nothing at this path.")
        } catch let error as GatewayError {
            return Self.failure(error)
        } catch {
            return Self.failure(GatewayError(.internal, "The gateway failed.", cause: "\(error)"))
        }
    }

    /// What the gateway says of itself.
    private static func document(_ scope: RequestScope, _ live: LiveTable) -> (() -> DialectResponse)? {
        switch scope.path {
        case "/openapi.json": { self.json(live.apiDocument) }
        case "/v1/models":
            {
                var json = JSONWriter()
                ModelListing(live).write(into: &json)
                return self.json(json.buffer)
            }
        default: nil
        }
    }

    private static func json(_ body: ByteBuffer) -> DialectResponse {
        DialectResponse(
            status: 200, headers: [.contentType: "application/json", .cacheControl: "no-cache"], body: body)
    }

    private static func browserClient(_ asset: WebAsset, _ scope: RequestScope) throws -> DialectResponse {
        guard scope.method == .get || scope.method == .head else {
            throw GatewayError(.methodNotAllowed, "The browser client is fetched with GET.")
        }
        return PlaygroundRoutes.response(client: asset, ifNoneMatch: scope.headers[.ifNoneMatch])
    }

    private func playground(_ scope: RequestScope, _ live: LiveTable) throws -> DialectResponse? {
        let isList = scope.path == "/playground/routes"
        let asset = WebAssets.asset(at: scope.path)
        guard isList || asset != nil else { return nil }
        guard scope.method == .get || scope.method == .head else {
            throw GatewayError(.methodNotAllowed, "The page is fetched with GET.")
        }
        if isList { return PlaygroundRoutes.response(live) }
        guard let asset else { return nil }
        var response = PlaygroundRoutes.response(asset, ifNoneMatch: scope.headers[.ifNoneMatch])
        // The page's own jobs are then nobody else's.
        if scope.path == "/" {
            response.headers[.setCookie] = self.authenticator.newSessionCookie(scope)
        }
        return response
    }

    static func failure(_ error: GatewayError) -> DialectResponse {
        var fields = HTTPFields()
        fields[.contentType] = "application/problem+json"
        if let wait = error.retryAfterMilliseconds { fields[.retryAfter] = String(max(1, wait / 1000)) }
        if error.code == .methodNotAllowed { fields[.allow] = "GET, HEAD" }
        if error.code == .unauthorized { fields[.wwwAuthenticate] = "Bearer realm=\"safelight\"" }
        return DialectResponse(status: error.code.status, headers: fields, body: PlainErrorResponse.body(error))
    }
}

extension ResponseWriter {
    /// As ``writeWhole(_:adding:)``, without the body where the request is HEAD.
    consuming func writeWhole(_ response: DialectResponse, for scope: RequestScope) async throws {
        guard scope.method == .head else { return try await self.writeWhole(response, adding: scope.responseHeaders) }
        var fields = response.headers
        for field in scope.responseHeaders { fields[field.name] = field.value }
        fields[.contentLength] = String(response.body.readableBytes)
        try await self.writeResponse(HTTPResponse(status: .init(code: response.status), headerFields: fields))
    }
}

extension DialectEndpoint.Action {
    fileprivate var createsJobs: Bool {
        switch self {
        case .create, .createStreaming, .submit: true
        case .snapshot, .answer, .stream, .cancel, .list, .describe: false
        }
    }
}
