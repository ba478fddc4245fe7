import Glibc
import Synchronization

/// Holds `<database>.lock` for one process. The kernel lets go of it when the process ends, however it ends.
final class StoreLock: Sendable {
    /// Nil once released.
    private let file: Mutex<Int32?>

    /// Does not wait.
    init(database: String) throws(SQLiteStoreError) {
        let path = "\(database).lock"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw SQLiteStoreError(database, .folder(SystemCode.text(errno))) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            let holder = Self.holder(file)
            close(file)
            guard code == EWOULDBLOCK else {
                throw SQLiteStoreError(database, .folder(SystemCode.text(code)))
            }
            throw SQLiteStoreError(database, .inUse(process: holder))
        }
        self.file = Mutex(file)
        Self.writeHolder(file)
    }

    deinit { self.release() }

    /// Idempotent.
    func release() {
        if let file = self.file.withLock({ $0.take() }) { close(file) }
    }

    /// For the message of who comes second; that it cannot be written is no reason to stop.
    private static func writeHolder(_ file: Int32) {
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(file, 0) == 0 else { return }
        _ = pwrite(file, text, text.count, 0)
    }

    private static func holder(_ file: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = pread(file, &bytes, bytes.count, 0)
        return Int32(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n").first ?? "")
    }
}
