import GRDB
import Glibc
import ImageGeneration
import ServiceLifecycle
package import Storage

/// The job store in one SQLite database with a write-ahead log, flushed at each commit. Reads see all that was
/// acknowledged.
///
/// As a `Service` it is the first to start and the last to stop: until then it writes what it is given.
package final class SQLiteJobStore: JobStore, WebhookOutbox, Service {
    package struct Configuration: Sendable {
        /// Path of the database. Its folder is made when absent; uploads are kept beside it.
        package var path: String
        /// Whether prompts stay once a job is over. Default true.
        package var keepsPrompts = true
        /// The start counter that was used before there was a database; this start is above it.
        package var olderEpoch: UInt32 = 0
        /// Writes that may wait at once; what has happened already may use as much again. Default 16,384.
        package var waitingWrites = 16_384
        /// The same in bytes. Default 64 MiB.
        package var waitingBytes = 64 << 20
        /// Size of the write-ahead log from which acceptances wait for a checkpoint, in bytes. Default 8 MiB: a larger
        /// log makes the wait rarer and longer.
        package var logBytes = 8 << 20
        /// Readers at once. Default 4.
        package var readers = 4

        package init(path: String) { self.path = path }
    }

    package let epoch: UInt32
    let pool: DatabasePool
    let writer: StoreWriter
    let uploads: UploadFolder
    let keepsPrompts: Bool

    /// Blocks: call it at start. A database that cannot be used is left as it is.
    /// - Parameter uploads: a folder of this store's own; what no unfinished job owns is removed from it.
    package static func open(
        _ configuration: Configuration, uploads: UploadFolder, hooks: StoreHooks
    ) throws(SQLiteStoreError) -> SQLiteJobStore {
        let path = configuration.path
        try self.makeFolder(of: path)
        let lock = try StoreLock(database: path)
        try StoreInspection(path: path).run()
        do {
            return try SQLiteJobStore(configuration, lock: lock, uploads: uploads, hooks: hooks)
        } catch {
            throw SQLiteStoreError(path, opening: error)
        }
    }

    private init(_ configuration: Configuration, lock: StoreLock, uploads: UploadFolder, hooks: StoreHooks) throws {
        self.uploads = uploads
        self.keepsPrompts = configuration.keepsPrompts
        self.pool = try Self.openPool(configuration)
        try Schema.migrator.migrate(self.pool)
        self.epoch = try Self.raiseEpoch(self.pool, configuration)
        let pageSize = try self.pool.read { try Int.fetchOne($0, sql: "PRAGMA page_size") } ?? 4096
        var settings = StoreWriter.Settings()
        settings.limits = WriteQueue.Limits(count: configuration.waitingWrites, bytes: configuration.waitingBytes)
        settings.checkpointPages = max(1, configuration.logBytes / pageSize)
        self.writer = try StoreWriter(
            pool: self.pool, lock: lock, path: configuration.path, settings: settings, hooks: hooks)
        uploads.removeAll(except: try self.pool.read { try Self.jobsWithUploads($0) })
        try self.writer.start()
    }

    /// Whether jobs can be stored.
    package var health: StoreHealth { self.writer.health }

    package func run() async throws {
        try? await gracefulShutdown()
        await self.close()
    }

    /// Writes what waits, refuses what comes, closes the database. For those who do not run it as a service.
    package func close() async { await self.writer.stop() }
}

// MARK: - Opening

extension SQLiteJobStore {
    static func makeFolder(of path: String) throws(SQLiteStoreError) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        do {
            if !folder.isEmpty { try StateFolder.make(folder) }
        } catch {
            throw SQLiteStoreError(path, .folder(error.description))
        }
        guard access(folder.isEmpty ? "/" : folder, W_OK | X_OK) == 0 else {
            throw SQLiteStoreError(path, .folder(SystemCode.text(errno)))
        }
    }

    /// SQLite would make it readable by everybody; the log and its index take over the database's mode.
    static func makeFile(_ path: String) throws(SQLiteStoreError) {
        let file = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw SQLiteStoreError(path, .folder(SystemCode.text(errno))) }
        Glibc.close(file)
    }

    private static func openPool(_ settings: Configuration) throws -> DatabasePool {
        try self.makeFile(settings.path)
        var configuration = GRDB.Configuration()
        configuration.label = "job store"
        configuration.busyMode = .timeout(2)
        configuration.maximumReaderCount = max(1, settings.readers)
        configuration.foreignKeysEnabled = true
        let pool = try DatabasePool(path: settings.path, configuration: configuration)
        try pool.writeWithoutTransaction { db in
            // GRDB chooses NORMAL, which may lose the last commits with the power.
            try db.execute(sql: "PRAGMA synchronous = FULL")
            if !settings.keepsPrompts { try db.execute(sql: "PRAGMA secure_delete = ON") }
            guard try Int.fetchOne(db, sql: "PRAGMA synchronous") == 2 else {
                throw SQLiteStoreError(settings.path, .failed("SQLite does not flush its commits"))
            }
        }
        return pool
    }

    private static func raiseEpoch(_ pool: DatabasePool, _ settings: Configuration) throws -> UInt32 {
        try pool.write { db in
            let last = try Int64.fetchOne(db, sql: "SELECT value FROM epoch WHERE id = 1") ?? 0
            let next = max(last, Int64(settings.olderEpoch)) + 1
            guard let epoch = UInt32(exactly: next) else { throw SQLiteStoreError(settings.path, .epochExhausted) }
            try db.execute(
                sql:
                    "INSERT INTO epoch (id, value) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value",
                arguments: [next])
            return epoch
        }
    }

    private static func jobsWithUploads(_ db: Database) throws -> Set<JobID> {
        let ids = try String.fetchAll(db, sql: "SELECT id FROM job WHERE finished_at IS NULL AND uploads > 0")
        return Set(ids.compactMap { JobID($0) })
    }
}

// MARK: - The two ways in

extension SQLiteJobStore {
    /// Writes and waits until it is durable.
    func write<Value: Sendable>(
        bytes: Int, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(GatewayError) -> Value {
        let result: Result<Value, GatewayError> = await withCheckedContinuation { continuation in
            self.writer.submit(
                PendingWrite(bytes: bytes, completed: { continuation.resume(returning: $0) }, body: body))
        }
        return try result.get()
    }

    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(GatewayError) -> Value {
        do {
            return try await self.pool.read(body)
        } catch let error as GatewayError {
            throw error
        } catch {
            throw GatewayError(
                .storageUnavailable, "The job store cannot be read.", retryAfterMilliseconds: 5000, cause: "\(error)")
        }
    }

    /// SQLite's text ends at the first NUL: names that differ behind one would be one name.
    static func check(_ names: [String?]) throws(GatewayError) {
        for case let name? in names where name.utf8.contains(0) {
            throw GatewayError(.invalidParameter, "A name holds a NUL character.")
        }
    }
}
