import Glibc
package import ImageGeneration
package import NIOCore
package import NIOPosix
import Synchronization

/// Pictures that came with requests, as files `<job>/<n>` below a folder, until their job is over.
///
/// ``store(_:of:)`` returns when the files are on the disk under their names, so that a record may speak of them.
package final class UploadFolder: Sendable {
    private let folder: String
    private let threads: NIOThreadPool
    /// The folder's own name is on the disk.
    private let isRooted = Mutex(false)

    /// - Parameters:
    ///   - folder: made when first needed.
    ///   - threads: where blocking calls run; started and stopped by the caller.
    package init(folder: String, threads: NIOThreadPool) {
        self.folder = folder
        self.threads = threads
    }

    /// Stores all or nothing.
    /// - Throws: `storage_full`, `storage_unavailable`.
    package func store(_ uploads: [ByteBuffer], of job: JobID) async throws(GatewayError) {
        guard !uploads.isEmpty else { return }
        try await self.onThread {
            let shelf = self.shelf(job)
            do {
                try Self.make(shelf)
                for (index, upload) in uploads.enumerated() { try Self.write(upload, to: "\(shelf)/\(index)") }
                try Self.flush(shelf)
                try Self.flush(self.folder)
                try self.root()
            } catch {
                Self.remove(shelf)
                throw error
            }
        }
    }

    /// The first upload made the folder. Whoever comes before its name is on the disk sees to it himself.
    private func root() throws(GatewayError) {
        guard !self.isRooted.withLock({ $0 }) else { return }
        try Self.flush("\(self.folder)/..")
        self.isRooted.withLock { $0 = true }
    }

    /// - Throws: `storage_unavailable` also when there are not `count` of them.
    package func read(of job: JobID, count: Int) async throws(GatewayError) -> [ByteBuffer] {
        try await self.onThread {
            try (0..<count).map { try Self.read("\(self.shelf(job))/\($0)") }
        }
    }

    /// In the background.
    package func remove(_ job: JobID) {
        let shelf = self.shelf(job)
        // A pool that has stopped leaves the files to the next start.
        self.threads.submit { state in if state == .active { Self.remove(shelf) } }
    }

    /// Removes what belongs to other jobs than these: a crash may leave files without a record. Blocks; to be called
    /// before the first job is accepted.
    package func removeAll(except jobs: Set<JobID>) {
        for name in Self.names(in: self.folder) {
            guard let job = JobID(name), !jobs.contains(job) else { continue }
            Self.remove(self.shelf(job))
        }
    }

    private func shelf(_ job: JobID) -> String { "\(self.folder)/\(job.text)" }

    private func onThread<Value: Sendable>(
        _ work: @escaping @Sendable () throws -> Value
    ) async throws(GatewayError) -> Value {
        do {
            return try await self.threads.runIfActive(work)
        } catch let error as GatewayError {
            throw error
        } catch {
            throw GatewayError(
                .storageUnavailable, "The upload cannot be stored.", retryAfterMilliseconds: 5000, cause: "\(error)")
        }
    }
}

// MARK: - Blocking calls

extension UploadFolder {
    private static func make(_ path: String) throws(GatewayError) {
        do {
            try StateFolder.make(path)
        } catch {
            throw self.failure(errno, error.description)
        }
    }

    /// Flushed before it gets its name.
    private static func write(_ bytes: ByteBuffer, to path: String) throws(GatewayError) {
        let temporary = "\(path).part"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard file >= 0 else { throw self.failure(errno) }
        defer { close(file) }
        let code = bytes.withUnsafeReadableBytes { bytes -> Int32 in
            var offset = 0
            while offset < bytes.count {
                let count = Glibc.write(file, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                offset += count
            }
            return fsync(file) == 0 ? 0 : errno
        }
        guard code == 0 else { throw self.failure(code) }
        guard rename(temporary, path) == 0 else { throw self.failure(errno) }
    }

    /// Names are durable once their folder is flushed.
    private static func flush(_ path: String) throws(GatewayError) {
        let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw self.failure(errno) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw self.failure(errno) }
    }

    private static func read(_ path: String) throws(GatewayError) -> ByteBuffer {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw self.failure(errno) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw self.failure(errno) }
        let size = Int(status.st_size)
        var buffer = ByteBufferAllocator().buffer(capacity: size)
        while buffer.readableBytes < size {
            let wanted = size - buffer.readableBytes
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) {
                max(0, Glibc.read(file, $0.baseAddress, min($0.count, wanted)))
            }
            guard count > 0 else { throw self.failure(EIO) }
        }
        return buffer
    }

    private static func remove(_ shelf: String) {
        for name in self.names(in: shelf) { unlink("\(shelf)/\(name)") }
        rmdir(shelf)
    }

    private static func names(in folder: String) -> [String] {
        guard let handle = opendir(folder) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    private static func failure(_ code: Int32, _ cause: String? = nil) -> GatewayError {
        let full = code == ENOSPC || code == EDQUOT
        return GatewayError(
            full ? .storageFull : .storageUnavailable,
            full ? "There is no room for the upload." : "The upload cannot be stored.",
            retryAfterMilliseconds: 5000, cause: cause ?? String(cString: strerror(code)))
    }
}
