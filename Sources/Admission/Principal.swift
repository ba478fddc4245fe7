package import ImageGeneration

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
    /// The static token it rests on; once that is revoked, nothing of it counts.
    package var token: String?
    /// When the credential ends; nil: not by itself.
    package var expiresAt: Timestamp?
    /// What a ticket is good for; nil for every other credential.
    package var ticket: TicketGrant?

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

/// What a ticket is good for.
package struct TicketGrant: Hashable, Sendable {
    /// Tells its uses apart from those of others.
    package var id: String
    package var bounds: Bounds

    package init(id: String, bounds: Bounds) {
        self.id = id
        self.bounds = bounds
    }

    package struct Bounds: Hashable, Sendable {
        /// The one job it may watch and cancel; then it creates none.
        package var job: String?
        /// Names of the routes it may create on. Empty: none.
        package var routes: [String]
        package var model: String?
        package var size: String?
        /// Most pictures of a request.
        package var maximumCount: Int?
        /// The page it serves, as browsers write origins.
        package var origin: String?
        /// Jobs it may create, or streams of its job it may open. Nil: any number.
        package var uses: Int?

        package init(
            job: String? = nil, routes: [String] = [], model: String? = nil, size: String? = nil,
            maximumCount: Int? = nil, origin: String? = nil, uses: Int? = nil
        ) {
            self.job = job
            self.routes = routes
            self.model = model
            self.size = size
            self.maximumCount = maximumCount
            self.origin = origin
            self.uses = uses
        }
    }
}
