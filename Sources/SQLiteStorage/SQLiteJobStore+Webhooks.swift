import GRDB
package import ImageGeneration
package import Storage

extension SQLiteJobStore {
    static func enqueue(_ message: WebhookMessage, job number: Int, _ db: Database) throws {
        try Self.check([message.id, message.endpoint, message.body])
        try db.cachedStatement(
            sql: "INSERT INTO webhook (id, job, endpoint, body, due_at) VALUES (?, ?, ?, ?, ?)"
        ).execute(arguments: [message.id, number, message.endpoint, message.body, message.dueAt.milliseconds])
    }

    package func claimDue(
        at now: Timestamp, leaseMilliseconds: Int64, limit: Int
    ) async throws(GatewayError) -> [ClaimedWebhook] {
        let limit = min(max(limit, 1), 100)
        return try await self.write(bytes: 0) { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT webhook.number, webhook.id, endpoint, body, due_at, attempts, job.id AS job
                        FROM webhook JOIN job ON job.number = webhook.job
                        WHERE state = 0 AND due_at <= ? ORDER BY due_at, webhook.number LIMIT ?
                        """), arguments: [now.milliseconds, limit])
            return try rows.map { row in
                let attempt = try row.integer("attempts") + 1
                try db.cachedStatement(sql: "UPDATE webhook SET attempts = ?, due_at = ? WHERE number = ?")
                    .execute(arguments: [attempt, now.milliseconds + leaseMilliseconds, try row.integer("number")])
                return ClaimedWebhook(message: try WebhookMessage(row), job: try row.job("job"), attempt: attempt)
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
                    INSERT INTO webhook_attempt (webhook, number, at, status, error) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT DO NOTHING
                    """
            ).execute(arguments: [number, attempt.number, attempt.at.milliseconds, attempt.status, error])
            try db.cachedStatement(
                sql: """
                    UPDATE webhook SET state = ?, due_at = coalesce(?, due_at)
                    WHERE number = ? AND attempts = ? AND state = 0
                    """
            ).execute(arguments: [fate.state.rawValue, fate.dueAt, number, attempt.number])
            return db.changesCount == 1
        }
    }

    package func nextDue() async throws(GatewayError) -> Timestamp? {
        try await self.read { db in
            let due = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT min(due_at) FROM webhook WHERE state = 0"))
            return due.map { Timestamp(milliseconds: $0) }
        }
    }

    package func deliveries(of job: JobID) async throws(GatewayError) -> [WebhookDelivery] {
        try await self.read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT webhook.number, webhook.id, endpoint, body, due_at, state
                        FROM webhook JOIN job ON job.number = webhook.job WHERE job.id = ? ORDER BY webhook.number
                        """), arguments: [job.text])
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
                sql: "SELECT number, at, status, error FROM webhook_attempt WHERE webhook = ? ORDER BY number"),
            arguments: [number])
        return try rows.map { row in
            WebhookAttempt(
                number: try row.integer("number"), at: try row.requiredTime("at"),
                status: row.optionalInteger("status"),
                error: try row.text("error").map { try StoredJSON.plainText($0) })
        }
    }
}

extension WebhookMessage {
    fileprivate init(_ row: Row) throws {
        self.init(
            id: try row.required("id"), endpoint: try row.required("endpoint"), body: try row.required("body"),
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
