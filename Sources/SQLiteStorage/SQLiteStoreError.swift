import GRDB

/// Why the job store cannot be opened, in one line for the operator. Database and write-ahead log are as they were.
package struct SQLiteStoreError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Reason: Equatable, Sendable {
        case folder(String)
        case inUse(process: Int32?)
        case notADatabase
        case foreignDatabase
        case corrupt(String)
        case newerSchema(found: Int, known: Int)
        case logTruncated
        case logForeign
        case logCorrupt
        case databaseMissing
        case epochExhausted
        case failed(String)
    }

    package let path: String
    package let reason: Reason

    init(_ path: String, _ reason: Reason) {
        self.path = path
        self.reason = reason
    }

    /// Of whatever opening a database throws.
    init(_ path: String, opening error: any Error) {
        switch error {
        case let error as SQLiteStoreError: self = error
        case let error as DatabaseError: self.init(path, StoreInspection.reason(error))
        default: self.init(path, .failed("\(error)"))
        }
    }

    package var description: String {
        let text = "The job store \(self.path) cannot be opened: \(self.reason.text)."
        return String(text.map { $0.isNewline ? " " : $0 })
    }
}

extension SQLiteStoreError.Reason {
    fileprivate var text: String {
        switch self {
        case .folder(let reason): "its folder cannot be written (\(reason))"
        case .inUse(let process?): "process \(process) has it open"
        case .inUse(nil): "another process has it open"
        case .notADatabase: "it is no SQLite database"
        case .foreignDatabase: "it is a database of another program"
        case .corrupt(let detail): "it is corrupt (\(detail)); restore it from a backup, or move it away to begin anew"
        case .newerSchema(let found, let known):
            "a newer version of Safelight wrote it (schema \(found), this version knows \(known))"
        case .logTruncated:
            "its write-ahead log (-wal) is truncated, so accepted jobs would be lost; restore it from a backup"
        case .logForeign: "its write-ahead log (-wal) belongs to another database; restore both from one backup"
        case .logCorrupt:
            "its write-ahead log (-wal) is corrupt, so accepted jobs would be lost; restore it from a backup"
        case .databaseMissing:
            "the database is gone or empty but its write-ahead log (-wal) is there; restore both, or move the log away"
        case .epochExhausted: "its start counter has reached its end"
        case .failed(let reason): reason
        }
    }
}
