import GRDB
import ImageGeneration

/// What an error of the writer means for what waits and for the process.
enum StorageFault: Error {
    /// Concerns one write alone.
    case single(GatewayError)
    /// No room; mends itself when there is.
    case full
    /// The database did not answer in time.
    case temporary(String)
    /// What is on the disk can no longer be trusted to be what was written. The text is for the operator.
    case fatal(String)

    /// - Parameter systemCode: `errno` of the failed system call, where the error came from one.
    init(_ error: any Error, systemCode: Int32) {
        switch error {
        case let fault as StorageFault: self = fault
        case let error as GatewayError: self = .single(error)
        case let error as DatabaseError: self = StorageFault(error, systemCode: systemCode)
        default: self = .single(GatewayError(.internal, "The job cannot be stored.", cause: "\(error)"))
        }
    }

    private init(_ error: DatabaseError, systemCode: Int32) {
        let text = "\(error.message ?? "unknown error") (SQLite \(error.extendedResultCode.rawValue))"
        switch error.resultCode {
        case .SQLITE_FULL:
            self = .full
        case .SQLITE_IOERR where Self.isNoRoom(error, systemCode):
            self = .full
        case .SQLITE_IOERR, .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_READONLY, .SQLITE_PROTOCOL:
            self = .fatal(text)
        case .SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_NOMEM, .SQLITE_INTERRUPT, .SQLITE_CANTOPEN, .SQLITE_MISUSE:
            self = .temporary(text)
        default:
            // A constraint and the like. The statement is ours, its arguments stay out of logs.
            self = .single(GatewayError(.internal, "The job cannot be stored.", cause: text))
        }
    }

    /// SQLite calls a full disk so only where it appends; the index beside the log and quotas are told otherwise. A
    /// failed flush is never lack of room: what it left undone is not known.
    private static func isNoRoom(_ error: DatabaseError, _ systemCode: Int32) -> Bool {
        switch error.extendedResultCode {
        case .SQLITE_IOERR_SHMSIZE: true
        case .SQLITE_IOERR_WRITE: systemCode == SystemCode.noSpace || systemCode == SystemCode.overQuota
        default: false
        }
    }

    /// What a caller is told.
    var gatewayError: GatewayError {
        switch self {
        case .single(let error): error
        case .full:
            GatewayError(.storageFull, "The job store is full.", retryAfterMilliseconds: 5000)
        case .temporary(let text), .fatal(let text):
            GatewayError(
                .storageUnavailable, "The job store does not answer.", retryAfterMilliseconds: 5000, cause: text)
        }
    }
}
