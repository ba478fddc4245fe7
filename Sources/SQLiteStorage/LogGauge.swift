import GRDB
import GRDBSQLite
import Synchronization

/// How many pages the log holds, as SQLite tells after each commit. Being told instead of SQLite's own hook also turns
/// its automatic checkpoints off.
final class LogGauge: Sendable {
    private let value = Atomic<Int>(0)

    var frames: Int { self.value.load(ordering: .relaxed) }

    /// The gauge has to live as long as the connection.
    func attach(to db: Database) throws {
        sqlite3_wal_hook(
            db.sqliteConnection,
            { context, _, _, pages in
                guard let context else { return SQLITE_OK }
                Unmanaged<LogGauge>.fromOpaque(context).takeUnretainedValue().value
                    .store(Int(pages), ordering: .relaxed)
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }
}
