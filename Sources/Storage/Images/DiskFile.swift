import Glibc
import ImageGeneration
import NIOCore

/// A descriptor that closes itself. Failures are `errno` values.
struct DiskFile: ~Copyable {
    let descriptor: Int32

    /// Never follows a link in the last part of the path.
    init(path: String, flags: Int32) throws(DiskError) {
        let descriptor = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw DiskError(errno) }
        self.descriptor = descriptor
    }

    deinit { close(self.descriptor) }

    /// Gives the descriptor away: the caller closes it.
    consuming func take() -> Int32 {
        let descriptor = self.descriptor
        discard self
        return descriptor
    }

    func status() throws(DiskError) -> stat {
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else { throw DiskError(errno) }
        return status
    }

    func write(_ buffer: ByteBuffer) throws(DiskError) {
        let code = buffer.withUnsafeReadableBytes { bytes -> Int32 in
            var offset = 0
            while offset < bytes.count {
                let count = Glibc.write(self.descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                offset += count
            }
            return 0
        }
        guard code == 0 else { throw DiskError(code) }
    }

    /// All bytes of the range; a file that has become shorter is never told as whole.
    static func read(_ range: Range<Int>, from descriptor: Int32) throws(DiskError) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: range.count)
        while buffer.readableBytes < range.count {
            let missing = range.count - buffer.readableBytes
            let offset = range.lowerBound + buffer.readableBytes
            var code: Int32 = 0
            let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: missing) { target in
                let count = pread(descriptor, target.baseAddress, missing, offset)
                if count < 0 { code = errno }
                return max(0, count)
            }
            if code == EINTR { continue }
            guard count > 0 else { throw DiskError(code == 0 ? EIO : code) }
        }
        return buffer
    }

    func setModified(_ time: Timestamp) throws(DiskError) {
        let seconds = time.milliseconds / 1000
        let spec = timespec(tv_sec: Int(seconds), tv_nsec: Int(time.milliseconds - seconds * 1000) * 1_000_000)
        guard futimens(self.descriptor, [spec, spec]) == 0 else { throw DiskError(errno) }
    }

    /// Waits until the bytes are on the disk.
    func flush() throws(DiskError) {
        guard fsync(self.descriptor) == 0 else { throw DiskError(errno) }
    }

    /// What is created, renamed or removed in a folder is durable once the folder is flushed.
    static func flushFolder(_ path: String) throws(DiskError) {
        try DiskFile(path: path, flags: O_RDONLY | O_DIRECTORY).flush()
    }

    /// The folder that the file is in.
    static func flushFolder(ofFile path: String) throws(DiskError) {
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        try Self.flushFolder(folder.isEmpty ? "/" : folder)
    }
}

/// What the system said.
struct DiskError: Error, Equatable {
    let code: Int32

    init(_ code: Int32) { self.code = code }

    var isFull: Bool { self.code == ENOSPC || self.code == EDQUOT }
    var isAbsent: Bool { self.code == ENOENT || self.code == ENOTDIR }

    /// What was being done.
    enum Purpose { case reading, keeping, removing }

    func failure(_ purpose: Purpose) -> GatewayError {
        switch purpose {
        case .reading:
            GatewayError(.storageUnavailable, "The image store cannot be read.", cause: self.text)
        case .removing:
            GatewayError(.storageUnavailable, "The image store cannot be written.", cause: self.text)
        case .keeping where self.isFull:
            // The picture was paid for.
            GatewayError(.storageFull, "The image store is full.", billed: .yes, cause: self.text)
        case .keeping:
            GatewayError(.storageUnavailable, "The image store cannot be written.", billed: .yes, cause: self.text)
        }
    }

    var text: String { String(cString: strerror(self.code)) }
}

extension stat {
    var isRegularFile: Bool { self.st_mode & S_IFMT == S_IFREG }

    var modified: Timestamp {
        Timestamp(milliseconds: Int64(self.st_mtim.tv_sec) * 1000 + Int64(self.st_mtim.tv_nsec) / 1_000_000)
    }
}
