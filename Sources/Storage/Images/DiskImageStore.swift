import Crypto
import Glibc
package import ImageGeneration
import NIOCore
package import NIOPosix
import StreamCodecs
import Synchronization

/// Pictures as files below a folder; ``ImageFolder`` says where.
///
/// A file has its name only when it is whole and on the disk: it is written to a temporary file of the same folder, flushed,
/// renamed, and its folder is flushed. Nothing is kept beside it: the extension is the format, the file's time is when it was stored.
package final class DiskImageStore: ImageStore {
    let folder: ImageFolder
    private let threads: NIOThreadPool
    private let now: @Sendable () -> Timestamp
    /// Files are named and removed under this lock, so that the gauge is exact. Holds how many shelves the gauge covers:
    /// what changes on the others is found when they are counted. Taken on the store's threads only.
    let countedShelves = Mutex(0)
    let figures = Mutex(ImageStoreGauge())

    /// Base64 text decoded at a time, in bytes.
    private static let pieceBytes = 64 << 10

    /// - Parameters:
    ///   - folder: made when absent.
    ///   - threads: where blocking calls run; started and stopped by the caller.
    /// - Throws: `GatewayError` `storage_unavailable` when the folder cannot be made or not be written.
    package init(
        folder: String, threads: NIOThreadPool, now: @escaping @Sendable () -> Timestamp
    ) throws(GatewayError) {
        self.folder = ImageFolder(root: folder)
        self.threads = threads
        self.now = now
        do {
            try StateFolder.make(folder)
        } catch {
            throw GatewayError(.storageUnavailable, "The image store cannot be written.", cause: error.description)
        }
        guard access(folder, R_OK | W_OK | X_OK) == 0 else {
            let cause = "The folder \(folder) cannot be used: \(DiskError(errno).text)."
            throw GatewayError(.storageUnavailable, "The image store cannot be written.", cause: cause)
        }
    }

    /// What is kept, and whether more can be. Never waits for the disk.
    package var gauge: ImageStoreGauge { self.figures.withLock { $0 } }

    package func store(
        _ payload: ImagePayload, id: ImageID, format: ImageFormat
    ) async throws(GatewayError) -> StoredImage {
        let storedAt = self.now()
        return try await self.run(.keeping) {
            guard Self.header(of: payload)?.format == format else {
                throw GatewayError(
                    .imageRefused, "The upstream's picture is not of a type the gateway relays.", billed: .yes)
            }
            return try self.write(payload, id: id, format: format, at: storedAt)
        }
    }

    package func open(_ id: ImageID) async throws(GatewayError) -> (any StoredImageReader)? {
        // A picture replaced by one of another format may be missed between the two names, but not twice.
        try await self.run(.reading) { try self.openFile(id) ?? self.openFile(id) }
    }

    package func remove(_ id: ImageID) async throws(GatewayError) -> Bool {
        try await self.run(.removing) {
            let removed = try self.unlinkAll(id) { _ in true }
            if removed { try DiskFile.flushFolder(self.folder.shelfPath(ImageFolder.shelf(of: id))) }
            return removed
        }
    }

    /// Runs on the store's threads; a pool that has stopped is a store that cannot be used.
    func run<Value: Sendable>(
        _ purpose: DiskError.Purpose, _ body: @escaping @Sendable () throws -> Value
    ) async throws(GatewayError) -> Value {
        do {
            return try await self.threads.runIfActive(body)
        } catch let error as DiskError {
            throw error.failure(purpose)
        } catch let error as GatewayError {
            throw error
        } catch {
            throw DiskError(ESHUTDOWN).failure(purpose)
        }
    }
}

// MARK: - Writing

extension DiskImageStore {
    /// Most headers lie in the first kilobyte; some JPEGs carry much before theirs.
    private static func header(of payload: ImagePayload) -> ImageHeader? {
        ImageHeader.read(Base64.decodePrefix(payload.base64, maximumBytes: 1024))
            ?? ImageHeader.read(Base64.decodePrefix(payload.base64, maximumBytes: ImageHeader.maximumBytes))
    }

    /// - Throws: `DiskError`, `GatewayError`.
    private func write(
        _ payload: ImagePayload, id: ImageID, format: ImageFormat, at time: Timestamp
    ) throws -> StoredImage {
        do {
            let status = try self.writeFile(payload, id: id, format: format, at: time)
            self.figures.withLock { $0.refusedBytes = nil }
            return Self.image(id, format, status)
        } catch is CodecError {
            throw GatewayError(.upstreamProtocol, "The upstream's picture is not base64.", billed: .yes)
        } catch {
            self.figures.withLock { $0.refusedBytes = payload.decodedCount }
            throw error
        }
    }

    private func writeFile(
        _ payload: ImagePayload, id: ImageID, format: ImageFormat, at time: Timestamp
    ) throws -> stat {
        let shelf = self.folder.shelfPath(ImageFolder.shelf(of: id))
        var temporary = try self.makeTemporary(in: shelf, for: "\(id.text).\(format.fileExtension)")
        try Self.decode(payload.base64, into: temporary.file)
        try temporary.file.setModified(time)
        try temporary.file.flush()
        let status = try temporary.file.status()
        try self.publish(&temporary, as: id, format, size: Int(status.st_size))
        do {
            try DiskFile.flushFolder(shelf)
        } catch {
            // Nobody has heard of it yet.
            _ = try? self.unlinkAll(id) { $0.st_ino == status.st_ino }
            throw error
        }
        return status
    }

    func makeTemporary(in folder: String, for name: String) throws(DiskError) -> TemporaryFile {
        do {
            return try self.folder.makeTemporary(in: folder, for: name)
        } catch {
            guard error.isAbsent else { throw error }
        }
        try self.folder.make(folder)
        return try self.folder.makeTemporary(in: folder, for: name)
    }

    /// Decodes a cache-sized piece at a time, so a large picture is never in memory twice.
    /// - Throws: `DiskError`, `CodecError`.
    private static func decode(_ base64: ByteBuffer, into file: borrowing DiskFile) throws {
        var rest = base64
        var decoder = Base64StreamDecoder()
        var decoded = ByteBuffer()
        while let piece = rest.readSlice(length: min(self.pieceBytes, rest.readableBytes)), piece.readableBytes > 0 {
            decoded.clear()
            try decoder.decode(piece, into: &decoded)
            try file.write(decoded)
        }
        try decoder.finish()
    }

    /// Gives the file its name, in place of whatever had the id before.
    private func publish(
        _ temporary: inout TemporaryFile, as id: ImageID, _ format: ImageFormat, size: Int
    ) throws(DiskError) {
        let shelf = ImageFolder.shelf(of: id)
        let target = self.folder.path(id, format)
        try self.countedShelves.withLock { counted throws(DiskError) in
            let replaced = ImageFolder.status(target).map { Int($0.st_size) }
            try temporary.rename(to: target)
            if shelf < counted {
                self.figures.withLock { $0.add(files: replaced == nil ? 1 : 0, bytes: size - (replaced ?? 0)) }
            }
            for other in ImageFormat.allCases where other != format {
                try self.unlink(id, other, counted) { _ in true }
            }
        }
    }
}

// MARK: - Reading and removing

extension DiskImageStore {
    private func openFile(_ id: ImageID) throws(DiskError) -> DiskImageReader? {
        for format in ImageFormat.allCases {
            let file: DiskFile
            do {
                file = try DiskFile(path: self.folder.path(id, format), flags: O_RDONLY | O_NONBLOCK)
            } catch {
                // A link is no picture of ours.
                if error.isAbsent || error.code == ELOOP { continue }
                throw error
            }
            let status = try file.status()
            guard status.isRegularFile else { continue }
            return DiskImageReader(
                image: Self.image(id, format, status), descriptor: file.take(), threads: self.threads)
        }
        return nil
    }

    /// The version is made of what the system notes of a file, so nothing of the picture is read for it.
    private static func image(_ id: ImageID, _ format: ImageFormat, _ status: stat) -> StoredImage {
        let facts = "\(id.text) \(format) \(status.st_ino) \(status.st_size) \(status.modified.milliseconds)"
        return StoredImage(
            id: id, format: format, size: Int(status.st_size), storedAt: status.modified,
            version: Hex.encode(SHA256.hash(data: Array(facts.utf8)).prefix(16)))
    }

    /// Removes the id's files for which `isWanted` holds.
    /// - Returns: whether there were any.
    func unlinkAll(_ id: ImageID, where isWanted: (stat) -> Bool) throws(DiskError) -> Bool {
        try self.countedShelves.withLock { counted throws(DiskError) in
            var removed = false
            for format in ImageFormat.allCases {
                removed = try self.unlink(id, format, counted, where: isWanted) || removed
            }
            return removed
        }
    }

    /// With the lock held.
    @discardableResult
    private func unlink(
        _ id: ImageID, _ format: ImageFormat, _ counted: Int, where isWanted: (stat) -> Bool
    ) throws(DiskError) -> Bool {
        let path = self.folder.path(id, format)
        guard let status = ImageFolder.status(path), isWanted(status) else { return false }
        guard Glibc.unlink(path) == 0 else {
            if errno == ENOENT { return false }
            throw DiskError(errno)
        }
        if ImageFolder.shelf(of: id) < counted {
            self.figures.withLock { $0.add(files: -1, bytes: -Int(status.st_size)) }
        }
        return true
    }
}

/// Reads on the store's threads, and closes the file there: the last close of a removed file may take its time.
private final class DiskImageReader: StoredImageReader {
    let image: StoredImage
    private let descriptor: Int32
    private let threads: NIOThreadPool

    init(image: StoredImage, descriptor: Int32, threads: NIOThreadPool) {
        self.image = image
        self.descriptor = descriptor
        self.threads = threads
    }

    deinit {
        let descriptor = self.descriptor
        self.threads.submit { _ in close(descriptor) }
    }

    func read(_ range: Range<Int>) async throws -> ByteBuffer {
        do {
            return try await self.threads.runIfActive { try self.readNow(range) }
        } catch let error as DiskError {
            throw error.failure(.reading)
        } catch {
            throw DiskError(ESHUTDOWN).failure(.reading)
        }
    }

    private func readNow(_ range: Range<Int>) throws(DiskError) -> ByteBuffer {
        try DiskFile.read(range, from: self.descriptor)
    }
}
