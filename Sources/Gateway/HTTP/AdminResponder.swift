import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import StreamCodecs

/// The operators' listener. It names only loopback hosts and answers no page's request, so that a browser on the same machine cannot
/// be used to reach it.
struct AdminResponder: Sendable {
    let gauges: @Sendable () -> GatewayGauges
    let readiness: @Sendable () -> Readiness
    let upstreams: @Sendable () -> [LiveTable.UpstreamReport]
    /// Nil where no webhook can be.
    var webhooks: WebhookReport?

    /// Whether this process should be given new jobs; the first reason that applies.
    enum Readiness: Sendable {
        case ready, draining
        /// The image store did not take the last picture, nor a probe since; or the job store takes no jobs.
        case storageRefusesWrites

        var status: StaticString {
            switch self {
            case .ready: "ok"
            case .draining: "draining"
            case .storageRefusesWrites: "storage_unavailable"
            }
        }
    }

    func respond(
        _ request: Request, writer: consuming ResponseWriter, connection: ClientConnection
    ) async throws {
        let scope = RequestScope(request, connection: connection)
        try await writer.writeWhole(await self.answer(request, scope), for: scope)
    }

    private func answer(_ request: Request, _ scope: RequestScope) async -> DialectResponse {
        guard Self.isLocal(request.head.authority), scope.headers[.origin] == nil else {
            return GatewayResponder.failure(GatewayError(.forbidden, "This listener answers its own host only."))
        }
        guard scope.method == .get || scope.method == .head else {
            return GatewayResponder.failure(GatewayError(.methodNotAllowed, "This is read with GET."))
        }
        switch scope.path {
        case "/healthz": return self.health(.ready)
        case "/readyz": return self.health(self.readiness())
        case "/upstreams": return Self.document { UpstreamListing.write(self.upstreams(), into: &$0) }
        case "/webhooks":
            guard let webhooks = self.webhooks else {
                return GatewayResponder.failure(GatewayError(.notFound, "Webhooks need storage.jobs."))
            }
            return await webhooks.answer(scope)
        default: return GatewayResponder.failure(GatewayError(.notFound, "There is nothing at this path."))
        }
    }

    private func health(_ readiness: Readiness) -> DialectResponse {
        var response = Self.document { self.gauges().write(into: &$0, status: readiness.status) }
        if readiness != .ready { response.status = 503 }
        return response
    }

    private static func document(_ write: (inout JSONWriter) -> Void) -> DialectResponse {
        var json = JSONWriter()
        write(&json)
        var fields = HTTPFields()
        fields[.contentType] = "application/json"
        fields[.cacheControl] = "no-store"
        return DialectResponse(status: 200, headers: fields, body: json.buffer)
    }

    private static func isLocal(_ authority: String?) -> Bool {
        guard let authority = authority?.lowercased() else { return false }
        let host =
            authority.hasPrefix("[") ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" }
        return ListenAddress(host: String(host), port: 0).isLoopback
    }
}
