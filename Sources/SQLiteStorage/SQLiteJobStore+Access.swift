import GRDB
package import ImageGeneration
package import Storage

extension SQLiteJobStore: TokenStore {
    package func tokenRevision() async throws(GatewayError) -> Int64 {
        try await self.read { try TokenRecords.revision($0) }
    }

    package func tokens() async throws(GatewayError) -> [StoredToken] {
        try await self.read { try TokenRecords.all($0) }
    }
}

/// The tables of tokens and accounts, for whoever has the database open.
enum TokenRecords {
    static func revision(_ db: Database) throws -> Int64 {
        try Int64.fetchOne(db, sql: "SELECT value FROM token_change WHERE id = 1") ?? 0
    }

    static func all(_ db: Database) throws -> [StoredToken] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT id, name, digest, scopes, routes, limits, created_at, expires_at, revoked_at FROM token
                ORDER BY created_at, id
                """
        ).map { row in
            StoredToken(
                id: try row.required("id"), name: try StoredJSON.plainText(try row.required("name")),
                digest: try row.required("digest"), scopes: Self.words(try row.required("scopes")),
                routes: row.text("routes").map(Self.words), limits: Self.words(try row.required("limits")),
                createdAt: try row.requiredTime("created_at"), expiresAt: row.time("expires_at"),
                revokedAt: row.time("revoked_at"))
        }
    }

    static func insert(_ token: StoredToken, _ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO token (id, name, digest, scopes, routes, limits, created_at, expires_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                token.id, StoredJSON.text(token.name), token.digest, Self.text(token.scopes),
                token.routes.map(Self.text), Self.text(token.limits), token.createdAt.milliseconds,
                token.expiresAt?.milliseconds,
            ])
        try self.noteChange(db)
    }

    /// - Returns: false where there is no such token. One that is revoked already stays as it is.
    static func revoke(_ id: String, at time: Timestamp, _ db: Database) throws -> Bool {
        try db.execute(
            sql: "UPDATE token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
            arguments: [time.milliseconds, id])
        if db.changesCount > 0 {
            try self.noteChange(db)
            return true
        }
        return try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM token WHERE id = ?)", arguments: [id]) ?? false
    }

    private static func noteChange(_ db: Database) throws {
        try db.execute(sql: "UPDATE token_change SET value = value + 1 WHERE id = 1")
    }

    /// Words without white space, as names of scopes, routes and limits are checked to be, but for a route's, which may hold spaces:
    /// so they stand apart by line breaks.
    private static func text(_ words: [String]) -> String { words.joined(separator: "\n") }

    private static func words(_ text: String) -> [String] { text.split(separator: "\n").map(String.init) }
}

enum AccountRecords {
    static func book(_ sums: UsageAccount.Sums, principal: String?, route: String, at time: Timestamp, _ db: Database)
        throws
    {
        try db.cachedStatement(
            sql: """
                INSERT INTO account (day, principal, route, jobs, failures, images, input_tokens, output_tokens, cost)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (day, principal, route) DO UPDATE SET
                  jobs = jobs + excluded.jobs, failures = failures + excluded.failures, images = images + excluded.images,
                  input_tokens = input_tokens + excluded.input_tokens,
                  output_tokens = output_tokens + excluded.output_tokens, cost = cost + excluded.cost
                """
        ).execute(arguments: [
            UsageAccount.day(of: time), UsageAccount.name(of: principal), route, sums.jobs, sums.failures, sums.images,
            sums.inputTokens, sums.outputTokens, sums.cost,
        ])
    }

    static func read(_ query: UsageQuery, _ db: Database) throws -> [UsageAccount] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT day, principal, route, jobs, failures, images, input_tokens, output_tokens, cost FROM account
                WHERE (?1 IS NULL OR day >= ?1) AND (?2 IS NULL OR principal = ?2) ORDER BY day, principal, route
                """, arguments: [query.since, query.principal]
        ).map { row in
            var sums = UsageAccount.Sums()
            sums.jobs = try row.integer("jobs")
            sums.failures = try row.integer("failures")
            sums.images = try row.integer("images")
            sums.inputTokens = try row.integer("input_tokens")
            sums.outputTokens = try row.integer("output_tokens")
            sums.cost = try row.integer("cost")
            return UsageAccount(
                day: Int64(try row.integer("day")), principal: try row.required("principal"),
                route: try row.required("route"), sums: sums)
        }
    }
}
