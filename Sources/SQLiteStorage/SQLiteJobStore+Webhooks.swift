import GRDB
package import ImageGeneration
package import Storage

extension SQLiteJobStore {
    static func enqueue(_ message: WebhookMessage, job number: Int, _ db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO webhook (id, job, endpoint, due_at) VALUES (?, ?, ?, ?)")
            .execute(arguments: [message.id, number, message.endpoint, message.dueAt.milliseconds])
    }

    package func claimDue(
        to endpoint: String, at now: Timestamp, leaseMilliseconds: Int64, limit: Int
    ) async throws(GatewayError) -> [ClaimedWebhook] {
        let limit = min(max(limit, 1), 100)
        try Self.check([endpoint])
        return try await self.write(bytes: 0) { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT webhook.number, webhook.id, endpoint, due_at, attempts, job.id AS job
                        FROM webhook JOIN job ON job.number = webhook.job
                        WHERE state = 0 AND endpoint = ? AND due_at <= ? ORDER BY due_at, webhook.number LIMIT ?
                        """), arguments: [endpoint, now.milliseconds, limit])
            return try rows.map { row in
                let attempt = try row.integer("attempts") + 1
                try db.cachedStatement(sql: "UPDATE webhook SET attempts = ?, due_at = ? WHERE number = ?")
                    .execute(arguments: [attempt, now.milliseconds + leaseMilliseconds, try row.integer("number")])
                return ClaimedWebhook(message: try WebhookMessage(row), attempt: attempt)
            }
        }
    }

    package func record(
        _ attempt: WebhookAttempt, of message: String, fate: WebhookFate
    ) async throws(GatewayError) -> Bool {
        let error = attempt.error.map { StoredJSON.text($0) }
        return try await self.write(bytes: (error?.utf8.count ?? 0) + 64) { db in
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT number FROM webhook WHERE id = ?"), arguments: [message])
            guard let number = try row?.integer("number") else { return false }
            try db.cachedStatement(
                sql: """
                    INSERT INTO webhook_attempt (webhook, number, at, duration, status, error) VALUES (?, ?, ?, ?, ?, ?)
                    ON CONFLICT DO NOTHING
                    """
            ).execute(arguments: [
                number, attempt.number, attempt.at.milliseconds, attempt.durationMilliseconds, attempt.status, error,
            ])
            try db.cachedStatement(
                sql: """
                    UPDATE webhook SET state = ?, due_at = coalesce(?, due_at)
                    WHERE number = ? AND attempts = ? AND state = 0
                    """
            ).execute(arguments: [fate.state.rawValue, fate.dueAt, number, attempt.number])
            return db.changesCount == 1
        }
    }

    package func owed() async throws(GatewayError) -> [OwedWebhooks] {
        try await self.read { db in
            // From endpoint to endpoint along the index, past all that waits for each.
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        WITH RECURSIVE owed (endpoint) AS (
                          SELECT min(endpoint) FROM webhook WHERE state = 0
                          UNION ALL
                          SELECT (SELECT min(endpoint) FROM webhook WHERE state = 0 AND endpoint > owed.endpoint)
                          FROM owed WHERE owed.endpoint IS NOT NULL)
                        SELECT endpoint, (SELECT min(due_at) FROM webhook WHERE state = 0 AND endpoint = owed.endpoint)
                          AS due_at
                        FROM owed WHERE endpoint IS NOT NULL
                        """))
            return try rows.map {
                OwedWebhooks(endpoint: try $0.required("endpoint"), nextDue: try $0.requiredTime("due_at"))
            }
        }
    }

    package func pendingCounts() async throws(GatewayError) -> [String: Int] {
        try await self.read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: "SELECT endpoint, count(*) AS count FROM webhook WHERE state = 0 GROUP BY endpoint"))
            return try rows.reduce(into: [:]) { $0[try $1.required("endpoint")] = try $1.integer("count") }
        }
    }

    package func deliveries(_ query: DeliveryQuery) async throws(GatewayError) -> [WebhookDelivery] {
        if let endpoint = query.endpoint, endpoint.utf8.contains(0) { return [] }
        return try await self.read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT webhook.number, webhook.id, endpoint, due_at, state, job.id AS job
                        FROM webhook JOIN job ON job.number = webhook.job
                        WHERE (?1 IS NULL OR job.id = ?1) AND (?2 IS NULL OR endpoint = ?2)
                          AND (?3 IS NULL OR state = ?3)
                        ORDER BY webhook.number DESC LIMIT ?4
                        """),
                arguments: [query.job?.text, query.endpoint, query.state?.rawValue, query.limit])
            return try rows.map { row in
                WebhookDelivery(
                    message: try WebhookMessage(row), state: try row.word("state"),
                    attempts: try Self.attempts(of: try row.integer("number"), db))
            }
        }
    }

    private static func attempts(of number: Int, _ db: Database) throws -> [WebhookAttempt] {
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT number, at, duration, status, error FROM webhook_attempt WHERE webhook = ? ORDER BY number
                    """), arguments: [number])
        return try rows.map { row in
            WebhookAttempt(
                number: try row.integer("number"), at: try row.requiredTime("at"),
                durationMilliseconds: try row.integer("duration"), status: row.optionalInteger("status"),
                error: try row.text("error").map { try StoredJSON.plainText($0) })
        }
    }
}

extension WebhookMessage {
    fileprivate init(_ row: Row) throws {
        self.init(
            id: try row.required("id"), endpoint: try row.required("endpoint"), job: try row.job("job"),
            dueAt: try row.requiredTime("due_at"))
    }
}

extension WebhookFate {
    fileprivate var state: WebhookDelivery.State {
        switch self {
        case .delivered: .delivered
        case .retry: .pending
        case .givenUp: .givenUp
        }
    }

    fileprivate var dueAt: Int64? {
        if case .retry(let time) = self { time.milliseconds } else { nil }
    }
}
