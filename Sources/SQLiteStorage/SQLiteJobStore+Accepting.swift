import GRDB
package import ImageGeneration
package import Storage

extension SQLiteJobStore {
    package func accept(_ job: AcceptedJob) async throws(GatewayError) -> Acceptance {
        try Self.check([
            job.owner.principal, job.owner.clientAddress, job.route, job.dialect, job.upstream, job.delivery,
            job.disconnect, job.mode, job.idempotency?.key, job.idempotency?.digest, job.notify,
        ])
        let parts = StoredJSON.parts(of: job.request)
        try await self.uploads.store(parts.uploads, of: job.id)
        let record = AcceptanceRecord(job, parts)
        let acceptance: Acceptance
        do {
            acceptance = try await self.write(bytes: record.bytes) { db in try record.apply(db) }
        } catch {
            if !parts.uploads.isEmpty { self.uploads.remove(job.id) }
            throw error
        }
        if acceptance != .accepted, !parts.uploads.isEmpty { self.uploads.remove(job.id) }
        return acceptance
    }

    package func forgetKeys(expiredAt time: Timestamp, limit: Int) async throws(GatewayError) -> Int {
        try await self.write(bytes: 0) { db in
            try db.cachedStatement(
                sql: """
                    DELETE FROM idempotency_key WHERE (scope, key) IN (
                      SELECT scope, key FROM idempotency_key WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
                    """
            ).execute(arguments: [time.milliseconds, max(1, limit)])
            return db.changesCount
        }
    }
}

/// What an acceptance writes, ready for the writer's thread.
private struct AcceptanceRecord: Sendable {
    private let id: JobID
    private let owner: JobOwner
    private let names: [String]
    private let createdAt: Int64
    private let idempotency: IdempotencyKey?
    private let notify: String?
    private let parts: RequestParts
    private let uploadCount: Int
    let bytes: Int

    init(_ job: AcceptedJob, _ parts: RequestParts) {
        self.id = job.id
        self.owner = job.owner
        self.names = [
            job.route, job.dialect, job.request.operation.rawValue, job.upstream, job.delivery, job.disconnect,
            job.mode,
        ]
        self.createdAt = job.createdAt.milliseconds
        self.idempotency = job.idempotency
        self.notify = job.notify
        self.uploadCount = parts.uploads.count
        // The files are written; their bytes need not wait for the commit.
        self.parts = RequestParts(request: parts.request, prompts: parts.prompts, uploads: [])
        self.bytes = parts.request.utf8.count + parts.prompts.utf8.count + 512
    }

    func apply(_ db: Database) throws -> Acceptance {
        if let idempotency = self.idempotency {
            if let earlier = try self.earlierUse(of: idempotency, db) { return earlier }
            try self.claim(idempotency, db)
        }
        try self.insert(db)
        return .accepted
    }

    private func earlierUse(of idempotency: IdempotencyKey, _ db: Database) throws -> Acceptance? {
        let row = try Row.fetchOne(
            db.cachedStatement(
                sql: "SELECT digest, job FROM idempotency_key WHERE scope = ? AND key = ? AND expires_at > ?"),
            arguments: [self.owner.idempotencyScope, idempotency.key, self.createdAt])
        guard let row else { return nil }
        guard row.text("digest") == idempotency.digest else { return .otherBody }
        return .existing(try row.job("job"))
    }

    private func claim(_ idempotency: IdempotencyKey, _ db: Database) throws {
        try db.cachedStatement(
            sql: "INSERT OR REPLACE INTO idempotency_key (scope, key, digest, job, expires_at) VALUES (?, ?, ?, ?, ?)"
        ).execute(arguments: [
            self.owner.idempotencyScope, idempotency.key, idempotency.digest, self.id.text,
            self.createdAt + SQLiteJobStore.keyLifetimeMilliseconds,
        ])
    }

    private func insert(_ db: Database) throws {
        var arguments: StatementArguments = [self.id.text, self.owner.principal]
        arguments += StatementArguments(self.names)
        arguments += [self.parts.request, self.parts.prompts, self.uploadCount, self.createdAt, self.notify]
        try db.cachedStatement(
            sql: """
                INSERT INTO job (id, principal, route, dialect, operation, upstream, delivery, disconnect, mode,
                  request, prompts, uploads, created_at, notify)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: arguments)
    }
}
