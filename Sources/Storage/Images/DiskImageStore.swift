import Glibc
package import ImageGeneration
package import NIOCore
package import NIOPosix
import StreamCodecs

/// Pictures as files `<prefix>/<two characters>/<image id>.<extension>` below a folder.
///
/// A file appears under its name only when it is whole and on the disk: it is written to a temporary name, flushed, renamed.
package struct DiskImageStore: ImageStore {
    private let folder: String
    private let threads: NIOThreadPool
    private let now: @Sendable () -> Timestamp

    /// - Parameters:
    ///   - folder: created when absent.
    ///   - threads: where blocking calls run; started and stopped by the caller.
    package init(folder: String, threads: NIOThreadPool, now: @escaping @Sendable () -> Timestamp) throws {
        self.folder = folder
        self.threads = threads
        self.now = now
        try Self.makeFolder(folder)
        Self.removeTemporaries(in: folder)
    }

    package func store(_ payload: ImagePayload, id: ImageID, format: ImageFormat) async throws -> StoredImage {
        let storedAt = self.now()
        return try await self.threads.runIfActive {
            let size = try self.write(payload, id: id, format: format)
            return StoredImage(id: id, format: format, size: size, storedAt: storedAt)
        }
    }

    package func read(_ id: ImageID) async throws -> (image: StoredImage, bytes: ByteBuffer)? {
        try await self.threads.runIfActive {
            for format in ImageFormat.allCases {
                guard let file = File(path: self.path(id, format), flags: O_RDONLY) else { continue }
                let (bytes, modified) = try file.readAll()
                let image = StoredImage(id: id, format: format, size: bytes.readableBytes, storedAt: modified)
                return (image, bytes)
            }
            return nil
        }
    }

    package func remove(_ id: ImageID) async throws -> Bool {
        try await self.threads.runIfActive {
            ImageFormat.allCases.reduce(false) { removed, format in unlink(self.path(id, format)) == 0 || removed }
        }
    }

    private func path(_ id: ImageID, _ format: ImageFormat) -> String {
        "\(self.folder)/\(id.text.dropFirst(4).prefix(2))/\(id.text).\(format.fileExtension)"
    }

    private func write(_ payload: ImagePayload, id: ImageID, format: ImageFormat) throws -> Int {
        let target = self.path(id, format)
        let parent = "\(self.folder)/\(id.text.dropFirst(4).prefix(2))"
        try Self.makeFolder(parent)
        let temporary = "\(target).part"
        guard let file = File(path: temporary, flags: O_WRONLY | O_CREAT | O_TRUNC) else { throw Self.failure(errno) }
        do {
            let size = try Self.decode(payload.base64, into: file)
            guard fsync(file.descriptor) == 0, rename(temporary, target) == 0 else { throw Self.failure(errno) }
            Self.flushFolder(parent)
            return size
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Decodes a cache-sized piece at a time, so a large picture is never in memory twice.
    private static func decode(_ base64: ByteBuffer, into file: borrowing File) throws -> Int {
        var rest = base64
        var decoder = Base64StreamDecoder()
        var decoded = ByteBuffer()
        var size = 0
        while let piece = rest.readSlice(length: min(64 << 10, rest.readableBytes)), piece.readableBytes > 0 {
            decoded.clear()
            do {
                try decoder.decode(piece, into: &decoded)
            } catch {
                throw GatewayError(.upstreamProtocol, "The upstream's picture is not base64.", billed: .yes)
            }
            size += decoded.readableBytes
            try file.write(decoded)
        }
        do {
            try decoder.finish()
        } catch {
            throw GatewayError(.upstreamProtocol, "The upstream's picture is not base64.", billed: .yes)
        }
        return size
    }

    private static func makeFolder(_ path: String) throws {
        do {
            try StateFolder.make(path)
        } catch {
            throw GatewayError(
                .storageUnavailable, "The image store cannot be written.", billed: .yes, cause: error.description)
        }
    }

    /// A rename is durable once its folder is flushed.
    private static func flushFolder(_ path: String) {
        guard let folder = File(path: path, flags: O_RDONLY | O_DIRECTORY) else { return }
        fsync(folder.descriptor)
    }

    /// What a crash left half-written is nobody's.
    private static func removeTemporaries(in folder: String) {
        for shelf in Self.names(in: folder) {
            for name in Self.names(in: "\(folder)/\(shelf)") where name.hasSuffix(".part") {
                unlink("\(folder)/\(shelf)/\(name)")
            }
        }
    }

    private static func names(in folder: String) -> [String] {
        guard let handle = opendir(folder) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    fileprivate static func failure(_ code: Int32) -> GatewayError {
        let full = code == ENOSPC || code == EDQUOT
        return GatewayError(
            full ? .storageFull : .storageUnavailable,
            full ? "The image store is full." : "The image store cannot be written.", billed: .yes,
            cause: String(cString: strerror(code)))
    }
}

/// A descriptor that closes itself.
private struct File: ~Copyable {
    let descriptor: Int32

    init?(path: String, flags: Int32) {
        self.descriptor = open(path, flags | O_CLOEXEC, 0o640)
        if self.descriptor < 0 { return nil }
    }

    deinit { close(self.descriptor) }

    func write(_ buffer: ByteBuffer) throws {
        try buffer.withUnsafeReadableBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let count = Glibc.write(self.descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw DiskImageStore.failure(errno) }
                offset += count
            }
        }
    }

    func readAll() throws -> (ByteBuffer, Timestamp) {
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else { throw DiskImageStore.failure(errno) }
        var buffer = ByteBufferAllocator().buffer(capacity: Int(status.st_size))
        while buffer.readableBytes < Int(status.st_size) {
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 64 << 10) {
                max(0, Glibc.read(self.descriptor, $0.baseAddress, $0.count))
            }
            if count == 0 { break }
        }
        let modified = status.st_mtim
        return (buffer, Timestamp(milliseconds: Int64(modified.tv_sec) * 1000 + Int64(modified.tv_nsec) / 1_000_000))
    }
}
