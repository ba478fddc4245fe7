import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import StreamCodecs

/// The operators' listener. On loopback it goes by no other name and answers no page of another origin, so that a browser on the same
/// machine cannot be used to reach it; where a token is configured, it asks for that.
struct AdminResponder: Sendable {
    let gauges: @Sendable () -> GatewayGauges
    let readiness: @Sendable () -> Readiness
    let upstreams: @Sendable () -> [LiveTable.UpstreamReport]
    let access: @Sendable () -> AdminAccess
    /// A page of everybody's jobs.
    let jobs: @Sendable (RequestScope) async throws -> DialectResponse
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
        do throws(GatewayError) {
            try self.access().check(scope)
        } catch {
            return GatewayResponder.failure(error)
        }
        guard scope.method == .get || scope.method == .head else {
            return GatewayResponder.failure(GatewayError(.methodNotAllowed, "This is read with GET."))
        }
        switch scope.path {
        case "/healthz": return self.health(.ready)
        case "/readyz": return self.health(self.readiness())
        case "/upstreams": return Self.document { UpstreamListing.write(self.upstreams(), into: &$0) }
        case "/jobs":
            do {
                return try await self.jobs(scope)
            } catch {
                return GatewayResponder.failure(
                    error as? GatewayError ?? GatewayError(.internal, "The gateway failed.", cause: "\(error)"))
            }
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
}
