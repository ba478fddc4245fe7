import GRDB
package import ImageGeneration
package import Storage

extension SQLiteJobStore {
    package func job(_ id: JobID) async throws(GatewayError) -> StoredJob? {
        try await self.read { db in
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT \(StoredJob.columns) FROM job WHERE id = ?"), arguments: [id.text])
            return try row.map { try StoredJob($0, withSubmissions: true, db) }
        }
    }

    package func request(of job: StoredJob) async throws(GatewayError) -> ImageRequest {
        var request = job.request.request
        let uploads = try await self.uploads.read(of: job.id, count: job.request.uploads)
        do {
            try StoredJSON.attach(uploads, to: &request)
        } catch {
            throw GatewayError(.storageUnavailable, "An upload of the job is gone.", cause: error.description)
        }
        return request
    }

    package func owner(of image: ImageID) async throws(GatewayError) -> ImageOwner? {
        try await self.read { db in
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT job.id, job.principal FROM image JOIN job ON job.number = image.job
                        WHERE image.image_id = ?
                        """), arguments: [image.text])
            return try row.map { ImageOwner(job: try $0.job("id"), principal: $0.text("principal")) }
        }
    }

    package func unfinished(
        after cursor: UnfinishedCursor?, limit: Int
    ) async throws(GatewayError) -> UnfinishedPage {
        let limit = min(max(limit, 1), 1000)
        let after = cursor.flatMap { Int($0.text) } ?? 0
        return try await self.read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT \(StoredJob.columns) FROM job WHERE finished_at IS NULL AND number > ?
                        ORDER BY number LIMIT ?
                        """), arguments: [after, limit])
            let jobs = try rows.map { try StoredJob($0, withSubmissions: true, db) }
            guard rows.count == limit, let last = rows.last else { return UnfinishedPage(jobs: jobs, next: nil) }
            return UnfinishedPage(jobs: jobs, next: UnfinishedCursor("\(try last.integer("number"))"))
        }
    }

    package func history(_ query: HistoryQuery) async throws(GatewayError) -> HistoryPage {
        guard let statement = HistoryStatement(query) else { return HistoryPage(jobs: [], next: nil) }
        return try await self.read { db in
            // One more than asked for tells whether there is another page.
            let rows = try Row.fetchAll(db.cachedStatement(sql: statement.sql), arguments: statement.arguments())
            let jobs = try rows.prefix(query.limit).map { try StoredJob($0, withSubmissions: false, db) }
            guard rows.count > query.limit, let last = jobs.last else { return HistoryPage(jobs: jobs, next: nil) }
            return HistoryPage(jobs: jobs, next: HistoryCursor(createdAt: last.createdAt, job: last.id))
        }
    }
}

/// A history query as SQL: constant pieces, everything else bound.
private struct HistoryStatement: Sendable {
    let sql: String
    private let values: [DatabaseValue]

    /// Nil when nothing can be found.
    init?(_ query: HistoryQuery) {
        var conditions: [String] = []
        var values: [DatabaseValue] = []
        func add(_ condition: String, _ bound: any DatabaseValueConvertible...) {
            conditions.append(condition)
            values += bound.map(\.databaseValue)
        }
        switch query.scope {
        case .everyone: break
        case .principal(nil): return nil
        case .principal(let name?):
            guard !name.utf8.contains(0) else { return nil }
            add("principal = ?", name)
        }
        func add(_ column: String, amongst bound: [DatabaseValue]) {
            let marks = Array(repeating: "?", count: bound.count).joined(separator: ", ")
            conditions.append("\(column) IN (\(marks))")
            values += bound
        }
        if !query.routes.isEmpty {
            let routes = query.routes.filter { !$0.utf8.contains(0) }
            guard !routes.isEmpty else { return nil }
            add("route", amongst: routes.sorted().map(\.databaseValue))
        }
        if !query.stages.isEmpty { add("stage", amongst: query.stages.sorted().map(\.rawValue.databaseValue)) }
        if let before = query.before { add("created_at < ?", before.milliseconds) }
        if let since = query.since { add("created_at >= ?", since.milliseconds) }
        if let cursor = query.cursor {
            add("(created_at, id) < (?, ?)", cursor.createdAt.milliseconds, cursor.job.text)
        }
        let filter = conditions.isEmpty ? "" : "WHERE \(conditions.joined(separator: " AND "))"
        self.sql = "SELECT \(StoredJob.columns) FROM job \(filter) ORDER BY created_at DESC, id DESC LIMIT ?"
        self.values = values + [(query.limit + 1).databaseValue]
    }

    func arguments() -> StatementArguments { StatementArguments(self.values) }
}

// MARK: - Forgetting

extension SQLiteJobStore {
    package func expired(
        finishedBefore time: Timestamp, limit: Int
    ) async throws(GatewayError) -> [ExpiredJob] {
        try await self.read { db in
            let rows = try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT number, id FROM job WHERE finished_at < ?
                          AND NOT EXISTS (SELECT 1 FROM webhook WHERE webhook.job = job.number AND state = 0)
                        ORDER BY finished_at LIMIT ?
                        """), arguments: [time.milliseconds, max(1, limit)])
            return try rows.map { row in
                ExpiredJob(id: try row.job("id"), images: try Self.images(of: try row.integer("number"), db))
            }
        }
    }

    package func delete(_ jobs: [JobID]) async throws(GatewayError) -> [ImageID] {
        try await self.write(bytes: jobs.count * 48) { db in
            var images: [ImageID] = []
            for job in jobs {
                let row = try Row.fetchOne(
                    db.cachedStatement(sql: "SELECT number FROM job WHERE id = ? AND finished_at IS NOT NULL"),
                    arguments: [job.text])
                guard let number = try row?.integer("number") else { continue }
                images += try Self.images(of: number, db)
                try db.cachedStatement(sql: "DELETE FROM job WHERE number = ?").execute(arguments: [number])
            }
            return images
        }
    }

    private static func images(of number: Int, _ db: Database) throws -> [ImageID] {
        try String.fetchAll(
            db.cachedStatement(
                sql: "SELECT image_id FROM image WHERE job = ? AND image_id IS NOT NULL ORDER BY image_index"),
            arguments: [number]
        ).compactMap { ImageID($0) }
    }
}
