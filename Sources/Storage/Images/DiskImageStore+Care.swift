import Glibc
package import ImageGeneration
import NIOCore
import Synchronization

// What the store does besides its calls: count, clean, forget, and try a disk that was full. Off the request path.

extension DiskImageStore {
    /// Counts what earlier runs left and removes what they did not finish, one shelf at a time; stores and removals go on
    /// meanwhile, each waiting for one shelf at most. Call it once.
    /// - Returns: how many unfinished files were removed.
    /// - Throws: `GatewayError` when the store's threads have stopped, `CancellationError`.
    @discardableResult
    package func count() async throws -> Int {
        let root = self.folder.root
        var removed = try await self.run(.reading) { self.folder.removeStale(ImageFolder.names(in: root), in: root) }
        for shelf in 0..<ImageFolder.shelfCount {
            try Task.checkCancellation()
            removed += try await self.run(.reading) { self.countShelf(shelf) }
        }
        self.figures.withLock { $0.isComplete = true }
        return removed
    }

    private func countShelf(_ shelf: Int) -> Int {
        let path = self.folder.shelfPath(shelf)
        let names = self.countedShelves.withLock { counted in
            let names = ImageFolder.names(in: path)
            let sizes = names.compactMap { name -> Int? in
                guard let (id, _) = ImageFolder.picture(name), ImageFolder.shelf(of: id) == shelf else { return nil }
                return ImageFolder.status("\(path)/\(name)").map { Int($0.st_size) }
            }
            self.figures.withLock { $0.add(files: sizes.count, bytes: sizes.reduce(0, +)) }
            counted = shelf + 1
            return names
        }
        return self.folder.removeStale(names, in: path)
    }

    /// Removes pictures stored before `cutoff` and what crashed writers of other processes left, shelf by shelf, at most
    /// 64 files at a time.
    /// - Returns: how many pictures went.
    /// - Throws: `GatewayError` `storage_unavailable`, `CancellationError`.
    @discardableResult
    package func sweep(olderThan cutoff: Timestamp) async throws -> Int {
        var removed = 0
        for shelf in 0..<ImageFolder.shelfCount {
            let aged = try await self.run(.reading) { self.aged(shelf, cutoff) }
            for start in stride(from: 0, to: aged.count, by: Self.sweepBatch) {
                try Task.checkCancellation()
                let batch = aged[start..<min(start + Self.sweepBatch, aged.count)]
                removed += try await self.run(.removing) { try self.remove(batch, olderThan: cutoff) }
            }
        }
        return removed
    }

    private static let sweepBatch = 64

    private func aged(_ shelf: Int, _ cutoff: Timestamp) -> [ImageID] {
        let path = self.folder.shelfPath(shelf)
        let names = ImageFolder.names(in: path)
        _ = self.folder.removeStale(names, in: path)
        return names.compactMap { name in
            guard let (id, _) = ImageFolder.picture(name), ImageFolder.shelf(of: id) == shelf,
                let status = ImageFolder.status("\(path)/\(name)"), status.modified < cutoff
            else { return nil }
            return id
        }
    }

    private func remove(_ ids: ArraySlice<ImageID>, olderThan cutoff: Timestamp) throws(DiskError) -> Int {
        var removed = 0
        for id in ids {
            // The same id may have been stored anew since it was listed.
            let isGone = try self.unlinkAll(id) { $0.modified < cutoff }
            if isGone { removed += 1 }
        }
        return removed
    }

    /// Tries whether the disk takes as much as it last refused, 64 KiB at least and 64 MiB at most. The gauge tells the outcome
    /// until the next picture.
    package func probe() async -> Bool {
        let refused = self.gauge.refusedBytes ?? 0
        let size = min(max(refused, 64 << 10), 64 << 20)
        let taken: Void? = try? await self.run(.keeping) { try self.reserve(size) }
        self.figures.withLock { $0.refusedBytes = taken == nil ? max(refused, 1) : nil }
        return taken != nil
    }

    private func reserve(_ size: Int) throws(DiskError) {
        let temporary = try self.makeTemporary(in: self.folder.root, for: "probe")
        let code = posix_fallocate(temporary.file.descriptor, 0, size)
        guard code == 0 else { throw DiskError(code) }
        // Reserving alone would not notice a disk that has become read-only or broken.
        try temporary.file.write(ByteBuffer(repeating: 0, count: 4096))
        try temporary.file.flush()
    }
}
