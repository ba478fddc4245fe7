import CFile
import Glibc
package import ImageGeneration
import NIOCore
package import NIOPosix
import Synchronization

/// Files without names that take payloads when memory is short: nothing of them is left when the process ends, however it ends.
///
/// Payloads are written one behind the other, each from a page of its own on: one that goes leaves a hole, which the disk has back, and
/// where the file system makes no holes, the disk has the file back when the last payload in it has gone. Writing and reading happen
/// on the threads.
package final class SpillFolder: Sendable {
    /// In bytes of the disk.
    package let limit: Int
    private let folder: String
    /// A file takes about so many bytes.
    private let fileBytes: Int
    private let threads: NIOThreadPool
    private let budget: PayloadBudget
    private let state = Mutex(State())

    private struct State {
        var files: [Int: Entry] = [:]
        var current: Int?
        var made = 0
        /// Bytes of all files, without their holes.
        var bytes = 0
        /// The disk took nothing lately: it is not asked again until something is given back.
        var isFull = false
        /// Until the file system has once made none.
        var makesHoles = true

        /// - Returns: false where none is made. The file may be gone meanwhile, and all of it given back.
        mutating func makesHole(in number: Int, _ count: Int) -> Bool {
            guard self.makesHoles, self.files[number] != nil else { return false }
            self.files[number]?.holes += count
            self.bytes -= count
            self.isFull = false
            return true
        }

        mutating func isWithoutHole(_ number: Int, _ count: Int) {
            self.makesHoles = false
            guard self.files[number] != nil else { return }
            self.files[number]?.holes -= count
            self.bytes += count
        }
    }

    private struct Entry {
        let file: SpillFile
        var end = 0
        /// Bytes of its holes.
        var holes = 0
        /// Payloads that are in it.
        var count = 0
    }

    /// A hole gives whole pages back.
    private static let page = 4096

    private static func pages(_ count: Int) -> Int { (count + Self.page - 1) / Self.page * Self.page }

    /// - Parameters:
    ///   - folder: where the files are made; it is made when absent.
    ///   - limit: in bytes.
    /// - Throws: `GatewayError` `storage_unavailable` when it cannot be made.
    package init(
        folder: String, limit: Int, threads: NIOThreadPool, budget: PayloadBudget
    ) throws(GatewayError) {
        self.folder = folder
        self.limit = limit
        self.fileBytes = max(1, limit / 32)
        self.threads = threads
        self.budget = budget
        do {
            try StateFolder.make(folder)
        } catch {
            throw GatewayError(.storageUnavailable, "The folder \(folder) cannot be made.", cause: error.description)
        }
    }

    /// Bytes that the files take of the disk.
    package var usedBytes: Int { self.state.withLock { $0.bytes } }

    /// The payload as a place in a file. Its memory is held until it is written. Nil when there is no room.
    package func take(_ payload: ImagePayload) -> (any DisplacedPayload)? {
        let count = payload.base64.readableBytes
        guard count > 0, let (file, offset) = self.place(Self.pages(count)) else { return nil }
        let spilled = SpilledPayload(self, payload, in: file, offset: offset)
        // Its lease may be of several pictures.
        let leaving = min(count, payload.lease?.bytes ?? 0)
        self.budget.isLeaving(leaving)
        self.threads.submit { _ in
            self.write(spilled)
            self.budget.hasLeft(leaving)
        }
        return spilled
    }

    private func place(_ count: Int) -> (file: SpillFile, offset: Int)? {
        self.state.withLock { state in
            guard !state.isFull, state.bytes + count <= self.limit else { return nil }
            var number = state.current ?? -1
            if let entry = state.files[number], entry.end + count <= self.fileBytes {
                number = entry.file.number
            } else {
                state.made += 1
                number = state.made
                state.current = number
                state.files[number] = Entry(
                    file: SpillFile(number, path: "\(self.folder)/\(getpid()).\(number)", threads: self.threads))
            }
            guard let entry = state.files[number] else { return nil }
            state.files[number]?.end += count
            state.files[number]?.count += 1
            state.bytes += count
            return (entry.file, entry.end)
        }
    }

    /// Waits until all that was asked for before is done, where the threads are one.
    func settle() async throws { try await self.threads.runIfActive {} }

    private func write(_ payload: SpilledPayload) {
        guard let bytes = payload.memory else { return }
        do throws(DiskError) {
            try payload.file.write(bytes, at: payload.offset)
            payload.isWritten()
        } catch {
            // It stays in memory, where it can be read all the same.
            self.state.withLock { $0.isFull = true }
        }
    }

    fileprivate func giveUp(_ file: SpillFile, _ offset: Int, count: Int) {
        let closed = self.state.withLock { state -> SpillFile? in
            state.files[file.number]?.count -= 1
            guard let entry = state.files[file.number], entry.count == 0 else { return nil }
            state.files[file.number] = nil
            if state.current == file.number { state.current = nil }
            state.bytes -= entry.end - entry.holes
            state.isFull = false
            return entry.file
        }
        if closed == nil { self.makeHole(file, offset, Self.pages(count)) }
    }

    /// The bytes count as given back at once: whoever made room for something wants it now.
    private func makeHole(_ file: SpillFile, _ offset: Int, _ count: Int) {
        guard self.state.withLock({ $0.makesHole(in: file.number, count) }) else { return }
        self.threads.submit { _ in
            if !file.makeHole(offset..<offset + count) { self.state.withLock { $0.isWithoutHole(file.number, count) } }
        }
    }
}

/// A payload on its way into a file, or in it.
private final class SpilledPayload: DisplacedPayload {
    let base64Count: Int
    let decodedCount: Int
    let offset: Int
    let file: SpillFile
    private let folder: SpillFolder
    private let inMemory: Mutex<ImagePayload?>

    init(_ folder: SpillFolder, _ payload: ImagePayload, in file: SpillFile, offset: Int) {
        self.folder = folder
        self.file = file
        self.offset = offset
        self.base64Count = payload.base64Count
        self.decodedCount = payload.decodedCount
        self.inMemory = Mutex(payload)
    }

    deinit { self.folder.giveUp(self.file, self.offset, count: self.base64Count) }

    var memory: ByteBuffer? { self.inMemory.withLock { $0?.base64 } }

    func isWritten() {
        let payload = self.inMemory.withLock { $0.take() }
        withExtendedLifetime(payload) {}
    }

    func read(_ range: Range<Int>) async throws -> ByteBuffer {
        if let memory = self.memory {
            guard let slice = memory.getSlice(at: memory.readerIndex + range.lowerBound, length: range.count) else {
                throw GatewayError(.storageUnavailable, "A picture cannot be read again.")
            }
            // A copy: the slice would hold all of it.
            return ByteBuffer(bytes: slice.readableBytesView)
        }
        return try await self.file.read(self.offset + range.lowerBound..<self.offset + range.upperBound)
    }
}

/// One of the files: made with the first byte, without a name from then on, closed with the last reference.
private final class SpillFile: Sendable {
    let number: Int
    private let path: String
    private let threads: NIOThreadPool
    private let descriptor = Mutex<Int32>(-1)

    init(_ number: Int, path: String, threads: NIOThreadPool) {
        self.number = number
        self.path = path
        self.threads = threads
    }

    deinit {
        let descriptor = self.descriptor.withLock { $0 }
        // Giving the bytes back to the disk may take its time.
        if descriptor >= 0 { self.threads.submit { _ in close(descriptor) } }
    }

    private func opened() throws(DiskError) -> Int32 {
        try self.descriptor.withLock { descriptor throws(DiskError) in
            if descriptor < 0 {
                let file = try DiskFile(path: self.path, flags: O_RDWR | O_CREAT | O_TRUNC)
                unlink(self.path)
                descriptor = file.take()
            }
            return descriptor
        }
    }

    func write(_ buffer: ByteBuffer, at offset: Int) throws(DiskError) {
        let descriptor = try self.opened()
        let code = buffer.withUnsafeReadableBytes { bytes -> Int32 in
            var done = 0
            while done < bytes.count {
                let rest = bytes.count - done
                let count = pwrite(descriptor, bytes.baseAddress?.advanced(by: done), rest, offset + done)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                done += count
            }
            return 0
        }
        guard code == 0 else { throw DiskError(code) }
    }

    /// - Returns: false where the file system makes none.
    func makeHole(_ range: Range<Int>) -> Bool {
        let descriptor = self.descriptor.withLock { $0 }
        guard descriptor >= 0 else { return true }
        return cfile_punch_hole(descriptor, range.lowerBound, range.count) == 0
    }

    func read(_ range: Range<Int>) async throws -> ByteBuffer {
        do {
            return try await self.threads.runIfActive { try self.readNow(range) }
        } catch {
            let cause = (error as? DiskError)?.text
            throw GatewayError(.storageUnavailable, "A picture cannot be read again.", cause: cause)
        }
    }

    private func readNow(_ range: Range<Int>) throws(DiskError) -> ByteBuffer {
        try DiskFile.read(range, from: try self.opened())
    }
}
