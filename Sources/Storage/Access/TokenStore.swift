package import ImageGeneration

/// A static token as it is kept: all but its secret.
package struct StoredToken: Hashable, Sendable {
    /// Names it everywhere: in lists, logs and accounts.
    package var id: String
    /// What its maker calls it.
    package var name: String
    /// Recognises the secret and does not tell it.
    package var digest: String
    package var scopes: [String]
    /// Names of routes it is good for. Nil: all.
    package var routes: [String]?
    /// Names of limits that count for it besides the route's own.
    package var limits: [String]
    package var createdAt: Timestamp
    /// Nil: never.
    package var expiresAt: Timestamp?
    package var revokedAt: Timestamp?

    package init(
        id: String, name: String, digest: String, scopes: [String] = [], routes: [String]? = nil, limits: [String] = [],
        createdAt: Timestamp, expiresAt: Timestamp? = nil, revokedAt: Timestamp? = nil
    ) {
        self.id = id
        self.name = name
        self.digest = digest
        self.scopes = scopes
        self.routes = routes
        self.limits = limits
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
    }

    package func isGood(at now: Timestamp) -> Bool {
        self.revokedAt == nil && self.expiresAt.map { now < $0 } ?? true
    }
}

/// Where the gateway finds static tokens. They are made and revoked by others: a command, another process.
package protocol TokenStore: Sendable {
    /// Another one after each change.
    func tokenRevision() async throws(GatewayError) -> Int64

    /// All, revoked and expired ones too.
    func tokens() async throws(GatewayError) -> [StoredToken]
}
