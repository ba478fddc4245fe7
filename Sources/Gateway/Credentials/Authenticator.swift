import Admission
import HTTPTypes
import ImageGeneration
import Logging
import NIOCore
import Storage
import Tokens

/// Finds out who asks. All credentials, whatever carries them, go through ``principal(_:_:_:)``.
struct Authenticator: Sendable {
    let directory: TokenDirectory
    let issuers: IssuerKeys
    /// Of tickets and session cookies.
    let keys: SigningKeys
    /// The start of this process.
    let epoch: UInt32
    let now: @Sendable () -> Timestamp
    let logger: Logger

    /// - Parameter demand: with `required` somebody must be known; with `optional` whoever shows a credential must show a good one;
    ///   with `public` one that does not count is as none.
    /// - Throws: `unauthorized`, always in the same words; `invalid_parameter` for several credentials; `upstream_unavailable` while
    ///   the keys of a token's issuer cannot be had.
    func principal(
        _ scope: RequestScope, _ demand: RouteAuth, _ table: RouteTable
    ) throws(GatewayError) -> Principal {
        guard let presented = try PresentedCredential(scope) else {
            if demand == .required { throw Self.refusal }
            return self.session(scope)
        }
        do throws(CredentialFault) {
            let principal = try self.principal(presented, scope)
            guard principal.limits.allSatisfy({ table.limits[$0] != nil }) else { throw .limits }
            return principal
        } catch {
            if demand == .public { return self.session(scope) }
            self.logger.info(
                "credential refused",
                metadata: [
                    "reason": "\(error.rawValue)", "carrier": "\(presented.carrier.rawValue)",
                    "request_id": "\(scope.id)",
                ])
            if error == .keysUnavailable {
                throw GatewayError(
                    .upstreamUnavailable, "The token cannot be checked now.", retryAfterMilliseconds: 2000)
            }
            throw Self.refusal
        }
    }

    static let refusal = GatewayError(.unauthorized, "A valid credential is needed.")

    private func principal(
        _ presented: PresentedCredential, _ scope: RequestScope
    ) throws(CredentialFault) -> Principal {
        let text = presented.text
        if text.hasPrefix("\(Ticket.prefix)") { return try self.ticket(text, presented.carrier, scope) }
        guard presented.carrier == .header else { throw .carrier }
        if text.hasPrefix(StaticToken.prefix) {
            guard let token = StaticToken(text) else { throw .malformed }
            let stored = try self.directory.verify(token)
            var principal = Principal(
                kind: .token, id: stored.id, scopes: Set(stored.scopes), routes: stored.routes.map(Set.init),
                limits: stored.limits)
            principal.token = stored.id
            principal.expiresAt = stored.expiresAt
            return principal
        }
        guard text.utf8.contains(0x2E) else { throw .malformed }
        let claims = try self.issuers.verify(text, now: self.now())
        var principal = Principal(
            kind: .jwt, id: "jwt:\(claims.issuer) \(claims.subject)", scopes: claims.scopes, claims: claims.others)
        principal.expiresAt = claims.expiresAt
        return principal
    }

    // MARK: Browsers

    private func ticket(
        _ text: String, _ carrier: PresentedCredential.Carrier, _ scope: RequestScope
    ) throws(CredentialFault) -> Principal {
        guard let ticket = self.keys.ticket(text, now: self.now()) else { throw .unknown }
        if let token = ticket.token { _ = try self.directory.find(token) }
        if ticket.bounds.uses != nil, ticket.epoch != self.epoch { throw .restarted }
        if carrier == .query, ticket.bounds.job == nil { throw .carrier }
        if let origin = ticket.bounds.origin, !Self.serves(origin, scope) { throw .carrier }
        var principal = Principal(
            kind: .ticket, id: ticket.principal, scopes: Set(ticket.scopes), routes: Set(ticket.bounds.routes),
            limits: ticket.limits, claims: ticket.claims)
        principal.token = ticket.token
        principal.expiresAt = ticket.expiresAt
        principal.ticket = TicketGrant(id: ticket.id, bounds: ticket.bounds)
        return principal
    }

    /// A browser names the origin of every page, but for pages of the gateway's own that only read.
    private static func serves(_ origin: String, _ scope: RequestScope) -> Bool {
        if let named = scope.headers[.origin] { return named == origin }
        return scope.headers[.fetchSite] == "same-origin" && scope.isOwn(origin: origin)
    }

    /// The browser's session where it has one, else nobody.
    private func session(_ scope: RequestScope) -> Principal {
        guard scope.isOfOwnPage, let session = self.cookie(scope) else { return .nobody }
        return Principal(kind: .session, id: session.id)
    }

    private func cookie(_ scope: RequestScope) -> SessionCookie? {
        for value in scope.cookies(SessionCookie.name(isSecure: scope.edge.isSecure)) {
            if let session = SessionCookie(value, keys: self.keys, now: self.now()) { return session }
        }
        return nil
    }

    /// What a page is told to keep when it is opened; nil where it has one that is good for a while.
    func newSessionCookie(_ scope: RequestScope) -> String? {
        let known = self.cookie(scope)
        let now = self.now()
        if let known, !known.isAging(at: now) { return nil }
        let session = known.map { SessionCookie(id: $0.id, issuedAt: now) } ?? SessionCookie(issuedAt: now)
        let isSecure = scope.edge.isSecure
        return
            "\(SessionCookie.name(isSecure: isSecure))=\(session.value(self.keys)); Path=/; "
            + "Max-Age=\(SessionCookie.lifetime); HttpOnly; SameSite=Strict\(isSecure ? "; Secure" : "")"
    }

    // MARK: Responses under way

    /// Ends the response's connection once the token it rests on does not count any more.
    func watch(_ principal: Principal, _ channel: any Channel) -> TokenDirectory.Watch? {
        principal.token.map { self.directory.watch($0) { channel.close(mode: .all, promise: nil) } }
    }
}
