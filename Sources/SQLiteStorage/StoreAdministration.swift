import GRDB
import Glibc
package import ImageGeneration
package import Storage

/// The database in the hands of a command, beside a gateway that may be running: short reads, and writes of a few rows. A gateway
/// that runs sees new and revoked tokens within a second.
package struct StoreAdministration: Sendable {
    private let queue: DatabaseQueue
    private let path: String

    /// A database that is not there is made, and an older one is brought up to date, unless a gateway has it open.
    /// - Throws: also for a database of another version that a gateway has open.
    package static func open(_ path: String) throws(SQLiteStoreError) -> StoreAdministration {
        try SQLiteJobStore.makeFolder(of: path)
        let lock = try Self.lock(path)
        defer { lock?.release() }
        do {
            return try StoreAdministration(path, isAlone: lock != nil)
        } catch {
            throw SQLiteStoreError(path, opening: error)
        }
    }

    /// Nil while a gateway runs.
    private static func lock(_ path: String) throws(SQLiteStoreError) -> StoreLock? {
        do {
            return try StoreLock(database: path)
        } catch {
            if case .inUse = error.reason { return nil }
            throw error
        }
    }

    private init(_ path: String, isAlone: Bool) throws {
        self.path = path
        if isAlone { try StoreInspection(path: path).run() }
        try SQLiteJobStore.makeFile(path)
        var configuration = GRDB.Configuration()
        configuration.label = "administration"
        configuration.busyMode = .timeout(5)
        configuration.foreignKeysEnabled = true
        self.queue = try DatabaseQueue(path: path, configuration: configuration)
        try self.queue.writeWithoutTransaction { db in
            // As the gateway keeps it; checkpoints are the gateway's business.
            if isAlone { try db.execute(sql: "PRAGMA journal_mode = WAL") }
            try db.execute(sql: "PRAGMA synchronous = FULL")
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 0")
        }
        if isAlone { try Schema.migrator.migrate(self.queue) }
        let version = try self.queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        guard version == Schema.version else {
            throw SQLiteStoreError(path, .failed("the gateway that has it open is of another version"))
        }
    }

    package func add(_ token: StoredToken) throws(SQLiteStoreError) {
        try self.write { try TokenRecords.insert(token, $0) }
    }

    /// - Returns: false where there is no such token.
    package func revoke(_ id: String, at time: Timestamp) throws(SQLiteStoreError) -> Bool {
        try self.write { try TokenRecords.revoke(id, at: time, $0) }
    }

    package func tokens() throws(SQLiteStoreError) -> [StoredToken] { try self.read { try TokenRecords.all($0) } }

    package func usage(_ query: UsageQuery) throws(SQLiteStoreError) -> [UsageAccount] {
        try self.read { try AccountRecords.read(query, $0) }
    }

    package func close() { try? self.queue.close() }

    private func read<Value>(_ body: (Database) throws -> Value) throws(SQLiteStoreError) -> Value {
        do {
            return try self.queue.read(body)
        } catch {
            throw SQLiteStoreError(self.path, .failed("\(error)"))
        }
    }

    private func write<Value>(_ body: (Database) throws -> Value) throws(SQLiteStoreError) -> Value {
        do {
            return try self.queue.write(body)
        } catch {
            throw SQLiteStoreError(self.path, .failed("\(error)"))
        }
    }
}
