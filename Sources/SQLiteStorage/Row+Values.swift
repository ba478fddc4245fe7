import GRDB
import ImageGeneration
import Storage

/// Columns by name, of the type asked for or nothing: what a damaged database holds instead must not end the process.
extension Row {
    func text(_ column: String) -> String? { String.fromDatabaseValue(self[column] as DatabaseValue) }

    func optionalInteger(_ column: String) -> Int? { Int.fromDatabaseValue(self[column] as DatabaseValue) }

    func integer(_ column: String) throws -> Int {
        guard let value = self.optionalInteger(column) else { throw Self.unreadable(column) }
        return value
    }

    func required(_ column: String) throws -> String {
        guard let value = self.text(column) else { throw Self.unreadable(column) }
        return value
    }

    func time(_ column: String) -> Timestamp? {
        self.optionalInteger(column).map { Timestamp(milliseconds: Int64($0)) }
    }

    func requiredTime(_ column: String) throws -> Timestamp {
        Timestamp(milliseconds: Int64(try self.integer(column)))
    }

    func job(_ column: String) throws -> JobID {
        guard let id = JobID(try self.required(column)) else { throw Self.unreadable(column) }
        return id
    }

    func word<Word: RawRepresentable<Int>>(_ column: String) throws -> Word {
        guard let word = Word(rawValue: try self.integer(column)) else { throw Self.unreadable(column) }
        return word
    }

    static func unreadable(_ column: String) -> GatewayError {
        GatewayError(
            .storageUnavailable, "The job cannot be read.", cause: "column '\(column)' holds no value of its kind")
    }
}

extension StoredJob {
    static let columns = """
        number, id, principal, route, dialect, upstream, delivery, disconnect, mode, notify, request, prompts, uploads,
        created_at, started_at, finished_at, stage, progress, message, queue_position, usage, cancel_outcome, terminal
        """

    /// - Parameter withSubmissions: also what was asked of upstreams.
    init(_ row: Row, withSubmissions: Bool, _ db: Database) throws {
        let prompts = row.text("prompts")
        let request = StoredRequest(
            request: try StoredJSON.request(try row.required("request"), prompts: prompts),
            hasPrompts: prompts != nil, uploads: try row.integer("uploads"))
        self.init(
            id: try row.job("id"), principal: row.text("principal"), route: try row.required("route"),
            dialect: try row.required("dialect"), request: request, upstream: try row.required("upstream"),
            delivery: try row.required("delivery"), disconnect: try row.required("disconnect"),
            mode: try row.required("mode"), notify: row.text("notify"), createdAt: try row.requiredTime("created_at"),
            startedAt: row.time("started_at"), finishedAt: row.time("finished_at"), stage: try row.word("stage"),
            progress: try row.integer("progress"), message: try StoredJSON.plainText(try row.required("message")),
            queuePosition: row.optionalInteger("queue_position"))
        self.usage = try row.text("usage").map { try StoredJSON.usage($0) }
        self.cancelOutcome = try row.text("cancel_outcome").map { try StoredJSON.plainText($0) }
        self.terminal = try row.text("terminal").map { try StoredJSON.terminal($0) }
        let number = try row.integer("number")
        try self.readImages(number, db)
        if withSubmissions { try self.readSubmissions(number, db) }
    }

    private mutating func readImages(_ number: Int, _ db: Database) throws {
        let rows = try Row.fetchCursor(
            db.cachedStatement(sql: "SELECT finished, failure FROM image WHERE job = ? ORDER BY image_index"),
            arguments: [number])
        while let row = try rows.next() {
            if let finished = row.text("finished") { self.images.append(try StoredJSON.image(finished)) }
            if let failure = row.text("failure") { self.failures.append(try StoredJSON.failure(failure)) }
        }
    }

    private mutating func readSubmissions(_ number: Int, _ db: Database) throws {
        let rows = try Row.fetchCursor(
            db.cachedStatement(
                sql: """
                    SELECT attempt, image_index, upstream, submitted_at, handle FROM submission WHERE job = ?
                    ORDER BY attempt, image_index
                    """), arguments: [number])
        while let row = try rows.next() {
            let submission = Submission(
                upstream: try row.required("upstream"), attempt: try row.integer("attempt"),
                imageIndex: try row.integer("image_index"), at: try row.requiredTime("submitted_at"))
            let handle = try row.text("handle").map { try StoredJSON.plainText($0) }
            self.submissions.append(StoredSubmission(submission: submission, handle: handle))
        }
    }
}
