import GRDB
package import ImageGeneration
package import Storage

// MARK: - Submissions

extension SQLiteJobStore {
    package func submitting(
        _ submission: Submission, of job: JobID, completed: @escaping StoreCompletion<Void>
    ) {
        do {
            try Self.check([submission.upstream])
        } catch {
            return completed(.failure(error))
        }
        self.writer.submit(
            PendingWrite(bytes: 128, patience: PendingWrite.submissionPatience, completed: completed) { db in
                try Self.insert(submission, of: job, db)
            })
    }

    private static func insert(_ submission: Submission, of job: JobID, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO submission (job, attempt, image_index, upstream, submitted_at)
                SELECT number, ?, ?, ?, ? FROM job WHERE id = ? AND finished_at IS NULL
                ON CONFLICT DO NOTHING
                """
        ).execute(arguments: [
            submission.attempt, submission.imageIndex, submission.upstream, submission.at.milliseconds, job.text,
        ])
        guard db.changesCount == 0 else { return }
        let isOver = try Bool.fetchOne(
            db.cachedStatement(sql: "SELECT finished_at IS NOT NULL FROM job WHERE id = ?"), arguments: [job.text])
        guard let isOver else { throw self.noSuchJob }
        throw GatewayError(.conflict, isOver ? "The job is over." : "This attempt was made already.")
    }

    package func handle(
        _ handle: String, of job: JobID, attempt: Int, imageIndex: Int, completed: @escaping StoreCompletion<Void>
    ) {
        let stored = StoredJSON.text(handle)
        self.writer.submit(
            PendingWrite(bytes: stored.utf8.count, isFact: true, completed: completed) { db in
                try db.cachedStatement(
                    sql: """
                        UPDATE submission SET handle = ? WHERE attempt = ? AND image_index = ?
                          AND job = (SELECT number FROM job WHERE id = ?)
                        """
                ).execute(arguments: [stored, attempt, imageIndex, job.text])
                guard db.changesCount == 1 else {
                    throw GatewayError(.notFound, "There is no such submission.")
                }
            })
    }

    static var noSuchJob: GatewayError { GatewayError(.notFound, "There is no such job.") }
}

// MARK: - What rides along

extension SQLiteJobStore {
    package func record(_ update: JobUpdate, of job: JobID, at time: Timestamp) {
        switch update {
        case .progress(let progress):
            self.ride(along: job, slot: .progress, bytes: progress.message.utf8.count) { db in
                try Self.update(progress, of: job, at: time, db)
            }
        case .image(let image):
            let stored = StoredJSON.image(image, keepsPrompts: self.keepsPrompts)
            self.ride(along: job, bytes: stored.utf8.count) { db in
                try Self.insert(image.imageID, stored, index: image.imageIndex, of: job, db)
            }
        case .imageFailed(let failure):
            let stored = StoredJSON.failure(failure)
            self.ride(along: job, bytes: stored.utf8.count) { db in
                try Self.insertFailure(stored, index: failure.imageIndex, of: job, db)
            }
        case .cancelOutcome(let outcome):
            let stored = StoredJSON.text(outcome)
            self.ride(along: job, slot: .cancelOutcome, bytes: stored.utf8.count) { db in
                // The upstream's answer to a cancel comes after the job's end.
                try db.cachedStatement(sql: "UPDATE job SET cancel_outcome = ? WHERE id = ?")
                    .execute(arguments: [stored, job.text])
            }
        case .usage(let usage):
            let stored = StoredJSON.usage(usage)
            self.ride(along: job, slot: .usage, bytes: stored.utf8.count) { db in
                try db.cachedStatement(sql: "UPDATE job SET usage = ? WHERE id = ? AND finished_at IS NULL")
                    .execute(arguments: [stored, job.text])
            }
        }
    }

    private func ride(
        along job: JobID, slot: PendingWrite.Slot.Kind? = nil, bytes: Int,
        _ body: @escaping @Sendable (Database) throws -> Void
    ) {
        self.writer.submit(
            PendingWrite(
                bytes: bytes, isFact: true, patience: PendingWrite.unawaited,
                slot: slot.map { PendingWrite.Slot(job: job, kind: $0) }, completed: nil, body: body))
    }

    private static func update(
        _ progress: JobProgress, of job: JobID, at time: Timestamp, _ db: Database
    ) throws {
        let startedAt: Int64? = progress.stage > .queued ? time.milliseconds : nil
        try db.cachedStatement(
            sql: """
                UPDATE job SET stage = ?, progress = ?, message = ?, queue_position = ?,
                  started_at = coalesce(started_at, ?)
                WHERE id = ? AND finished_at IS NULL
                """
        ).execute(arguments: [
            progress.stage.rawValue, progress.progress, StoredJSON.text(progress.message), progress.queuePosition,
            startedAt, job.text,
        ])
    }

    /// The first picture of an index stays.
    private static func insert(
        _ id: ImageID, _ stored: String, index: Int, of job: JobID, _ db: Database
    ) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO image (job, image_index, image_id, finished)
                SELECT number, ?, ?, ? FROM job WHERE id = ? AND finished_at IS NULL
                ON CONFLICT (job, image_index) DO UPDATE
                SET image_id = excluded.image_id, finished = excluded.finished, failure = NULL
                WHERE image_id IS NULL
                """
        ).execute(arguments: [index, id.text, stored, job.text])
    }

    private static func insertFailure(_ stored: String, index: Int, of job: JobID, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO image (job, image_index, failure)
                SELECT number, ?, ? FROM job WHERE id = ? AND finished_at IS NULL
                ON CONFLICT (job, image_index) DO UPDATE SET failure = excluded.failure WHERE image_id IS NULL
                """
        ).execute(arguments: [index, stored, job.text])
    }
}

// MARK: - The end

extension SQLiteJobStore {
    package func terminal(
        _ event: JobEvent, of job: JobID, at time: Timestamp, completed: StoreCompletion<TerminalOutcome>?
    ) {
        guard let ending = Ending(event, at: time, keepsPrompts: self.keepsPrompts) else {
            completed?(.failure(GatewayError(.internal, "This event ends no job.")))
            return
        }
        let uploads = self.uploads
        let answer = completed.map { completed -> StoreCompletion<Ending.Effect> in
            { result in completed(result.map { $0.outcome }) }
        }
        self.writer.submit(
            PendingWrite(
                bytes: ending.bytes, isFact: true,
                patience: completed == nil ? PendingWrite.unawaited : PendingWrite.endPatience, ends: job,
                completed: answer,
                then: { if $0.uploads > 0 { uploads.remove(job) } }
            ) { db in
                try ending.apply(to: job, db)
            })
    }
}

/// What the end of a job writes, ready for the writer's thread.
private struct Ending: Sendable {
    struct Effect: Sendable {
        let outcome: TerminalOutcome
        /// Files that are no longer needed.
        let uploads: Int
    }

    private let event: JobEvent
    private let terminal: String
    private let stage: Stage
    private let at: Timestamp
    private let keepsPrompts: Bool

    /// Nil when the event ends no job.
    init?(_ event: JobEvent, at: Timestamp, keepsPrompts: Bool) {
        guard let terminal = StoredJSON.terminal(event, keepsPrompts: keepsPrompts) else { return nil }
        self.event = event
        self.terminal = terminal
        self.stage =
            switch event {
            case .completed: .completed
            case .cancelled: .cancelled
            case .error, .stage, .partialImage, .textDelta, .image: .error
            }
        self.at = at
        self.keepsPrompts = keepsPrompts
    }

    var bytes: Int { self.terminal.utf8.count + 128 }

    func apply(to job: JobID, _ db: Database) throws -> Effect {
        guard let row = try self.update(job, db) else { return try Self.superseded(job, db) }
        try AccountRecords.book(
            UsageAccount.Sums(self.event, usage: try row.text("usage").map { try StoredJSON.usage($0) }),
            principal: row.text("principal"), route: try row.required("route"), at: self.at, db)
        if let endpoint = row.text("notify") {
            let message = WebhookMessage(id: WebhookMessage.newID(), endpoint: endpoint, job: job, dueAt: self.at)
            try SQLiteJobStore.enqueue(message, job: try row.integer("number"), db)
        }
        return Effect(outcome: .recorded, uploads: try row.integer("uploads"))
    }

    /// What is to be done for the job that ends; nil where none is left to end. All rows of one: the statement has to run to its end.
    private func update(_ job: JobID, _ db: Database) throws -> Row? {
        try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    UPDATE job SET terminal = ?, finished_at = ?, stage = ?, progress = iif(?, 100, progress),
                      prompts = iif(?, prompts, NULL), queue_position = NULL
                    WHERE id = ? AND terminal IS NULL
                    RETURNING number, uploads, notify, principal, route, usage
                    """),
            arguments: [
                self.terminal, self.at.milliseconds, self.stage.rawValue, self.stage == .completed, self.keepsPrompts,
                job.text,
            ]
        ).first
    }

    private static func superseded(_ job: JobID, _ db: Database) throws -> Effect {
        let winner = try String.fetchOne(
            db.cachedStatement(sql: "SELECT terminal FROM job WHERE id = ?"), arguments: [job.text])
        guard let winner else { throw SQLiteJobStore.noSuchJob }
        return Effect(outcome: .superseded(by: try StoredJSON.terminal(winner)), uploads: 0)
    }
}
