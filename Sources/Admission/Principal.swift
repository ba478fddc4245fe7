/// Who asks, as the request's credential says. Limits, owner checks and logs go by it; whoever reads credentials makes it.
package struct Principal: Hashable, Sendable {
    package var kind: Kind
    /// The same for every request of the same principal and for nobody else, over all kinds; nil for nobody.
    package var id: String?
    /// What the credential allows, as in a route's `scopes`.
    package var scopes: Set<String>
    /// Names of the routes that the credential is good for; nil: all.
    package var routes: Set<String>?
    /// Names of limits that count for this principal besides the route's own.
    package var limits: [String]
    /// Claims that limits may go by (`"per": "claim:tenant"`), as text.
    package var claims: [String: String]

    package init(
        kind: Kind, id: String?, scopes: Set<String> = [], routes: Set<String>? = nil, limits: [String] = [],
        claims: [String: String] = [:]
    ) {
        self.kind = kind
        self.id = id
        self.scopes = scopes
        self.routes = routes
        self.limits = limits
        self.claims = claims
    }

    /// No credential: told from others by the address alone.
    package static let nobody = Principal(kind: .nobody, id: nil)

    package enum Kind: String, Sendable, CaseIterable {
        case nobody
        /// A browser's signed cookie.
        case session
        /// A static token.
        case token
        case jwt
        /// A short-lived browser token.
        case ticket
    }
}
