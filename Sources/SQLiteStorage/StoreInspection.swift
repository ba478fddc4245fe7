import Dispatch
import GRDB
import Glibc

/// Looks at a database before it is opened for writing. Nothing in it or its log is changed, whatever is found.
struct StoreInspection {
    let path: String

    /// How long the check of the whole database may take; a larger database is checked as far as that goes.
    private static let checkTime = DispatchTimeInterval.seconds(2)

    func run() throws(SQLiteStoreError) {
        // Only a crash while the database was made leaves a journal. It has to be rolled back before anything can be
        // read.
        if let journal = try self.head(of: "\(self.path)-journal", count: 8), journal.size > 0 {
            return try self.checkContent(readOnly: false)
        }
        let database = try self.head(of: self.path, count: 100)
        let log = try self.head(of: "\(self.path)-wal", count: WriteAheadLog.Header.size)
        guard let database, database.size > 0 else {
            // SQLite would remove the log without reading it.
            guard log.map({ $0.size == 0 }) ?? true else { throw SQLiteStoreError(self.path, .databaseMissing) }
            return
        }
        let pageSize = try self.pageSize(database)
        try self.checkLog(log, pageSize: pageSize)
        try self.checkContent(readOnly: true)
    }

    /// https://www.sqlite.org/fileformat2.html#the_database_header
    private func pageSize(_ head: Head) throws(SQLiteStoreError) -> Int {
        guard head.bytes.starts(with: "SQLite format 3\0".utf8) else {
            throw SQLiteStoreError(self.path, .notADatabase)
        }
        guard head.bytes.count == 100 else { throw SQLiteStoreError(self.path, .corrupt("its header is cut off")) }
        let stored = Int(head.bytes[16]) << 8 | Int(head.bytes[17])
        let pageSize = stored == 1 ? 65_536 : stored
        guard (512...65_536).contains(pageSize), pageSize.nonzeroBitCount == 1, head.size >= pageSize else {
            throw SQLiteStoreError(self.path, .corrupt("its header is broken"))
        }
        return pageSize
    }
}

// MARK: - The log

extension StoreInspection {
    private func checkLog(_ log: Head?, pageSize: Int) throws(SQLiteStoreError) {
        let index = try self.index()
        // What is in the database already is not missed.
        let owed = index.map { $0.frames > $0.copied ? $0.frames : 0 } ?? 0
        guard let log, log.size > 0 else {
            if owed > 0 { throw SQLiteStoreError(self.path, .logTruncated) }
            return
        }
        guard log.size >= WriteAheadLog.Header.size else { throw SQLiteStoreError(self.path, .logTruncated) }
        guard let header = log.bytes.withUnsafeBytes({ WriteAheadLog.Header($0) }) else {
            throw SQLiteStoreError(self.path, .logForeign)
        }
        guard header.pageSize == pageSize else { throw SQLiteStoreError(self.path, .logForeign) }
        // An index without frames belongs to a log that is about to begin anew; its salts are the next ones.
        guard let index, index.frames > 0 else { return }
        guard index.salts == header.salts, index.pageSize == pageSize else {
            throw SQLiteStoreError(self.path, .logForeign)
        }
        guard owed > 0 else { return }
        let whole = (log.size - WriteAheadLog.Header.size) / (WriteAheadLog.frameHeaderSize + pageSize)
        guard whole >= owed else { throw SQLiteStoreError(self.path, .logTruncated) }
        guard try self.validFrames(header, atMost: owed) >= owed else {
            throw SQLiteStoreError(self.path, .logCorrupt)
        }
    }

    private func index() throws(SQLiteStoreError) -> WriteAheadLog.Index? {
        guard let head = try self.head(of: "\(self.path)-shm", count: WriteAheadLog.Index.size) else { return nil }
        return head.bytes.withUnsafeBytes { WriteAheadLog.Index($0) }
    }

    private func validFrames(_ header: WriteAheadLog.Header, atMost limit: Int) throws(SQLiteStoreError) -> Int {
        let file = open("\(self.path)-wal", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw SQLiteStoreError(self.path, .failed(SystemCode.text(errno))) }
        defer { close(file) }
        let size = WriteAheadLog.frameHeaderSize + header.pageSize
        var frame = [UInt8](repeating: 0, count: size)
        var checksum = header.checksum
        var count = 0
        while count < limit {
            let offset = WriteAheadLog.Header.size + count * size
            guard pread(file, &frame, size, off_t(offset)) == size else { break }
            guard frame.withUnsafeBytes({ WriteAheadLog.accepts($0, header, after: &checksum) }) else { break }
            count += 1
        }
        return count
    }
}

// MARK: - The content

extension StoreInspection {
    private func checkContent(readOnly: Bool) throws(SQLiteStoreError) {
        let absent = ["-wal", "-shm"].filter { access(self.path + $0, F_OK) != 0 }
        // SQLite makes these even to read; what was not there is not left there.
        defer { for suffix in absent { unlink(self.path + suffix) } }
        do {
            var configuration = Configuration()
            configuration.readonly = readOnly
            configuration.busyMode = .timeout(1)
            let queue = try DatabaseQueue(path: self.path, configuration: configuration)
            try queue.read { db in try self.checkIdentity(db) }
            try self.quickCheck(queue)
            try queue.close()
        } catch let error as SQLiteStoreError {
            throw error
        } catch let error as DatabaseError {
            throw SQLiteStoreError(self.path, Self.reason(error))
        } catch {
            throw SQLiteStoreError(self.path, .failed("\(error)"))
        }
    }

    private func checkIdentity(_ db: Database) throws {
        let application = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        let version = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        // A crash may have come before the first migration.
        let foreign = try Int.fetchOne(
            db, sql: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name <> 'grdb_migrations'")
        guard application == Schema.applicationID || (application == 0 && version == 0 && foreign == 0) else {
            throw SQLiteStoreError(self.path, .foreignDatabase)
        }
        guard version <= Schema.version else {
            throw SQLiteStoreError(self.path, .newerSchema(found: version, known: Schema.version))
        }
    }

    private func quickCheck(_ queue: DatabaseQueue) throws {
        let watchdog = DispatchWorkItem { queue.interrupt() }
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.checkTime, execute: watchdog)
        defer { watchdog.cancel() }
        do {
            let found = try queue.read { db in try String.fetchOne(db, sql: "PRAGMA quick_check(1)") }
            guard found == "ok" else { throw SQLiteStoreError(self.path, .corrupt(found ?? "no answer")) }
        } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT {
            return
        }
    }

    static func reason(_ error: DatabaseError) -> SQLiteStoreError.Reason {
        let text = "\(error.message ?? "unknown error"), SQLite \(error.extendedResultCode.rawValue)"
        switch error.resultCode {
        case .SQLITE_NOTADB: return .notADatabase
        case .SQLITE_CORRUPT: return .corrupt(text)
        case .SQLITE_BUSY, .SQLITE_LOCKED: return .inUse(process: nil)
        case .SQLITE_CANTOPEN, .SQLITE_READONLY: return .folder(text)
        default: return .failed(text)
        }
    }
}

// MARK: - Files

extension StoreInspection {
    private struct Head {
        let size: Int
        let bytes: [UInt8]
    }

    /// The first bytes of a file; nil when it does not exist.
    private func head(of path: String, count: Int) throws(SQLiteStoreError) -> Head? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw SQLiteStoreError(self.path, .failed(SystemCode.text(errno)))
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw SQLiteStoreError(self.path, .failed(SystemCode.text(errno))) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SQLiteStoreError(self.path, .failed("it is no file"))
        }
        var bytes = [UInt8](repeating: 0, count: count)
        let read = pread(file, &bytes, count, 0)
        guard read >= 0 else { throw SQLiteStoreError(self.path, .failed(SystemCode.text(errno))) }
        return Head(size: Int(status.st_size), bytes: Array(bytes.prefix(read)))
    }
}
