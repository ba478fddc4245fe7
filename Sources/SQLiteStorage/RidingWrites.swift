import ImageGeneration

/// Writes of slots. Nobody waits for them, and a newer one makes an older one needless, so they are held back while others
/// commit: until the first of them has waited as long as it may, or their job ends. Each slot has columns of its own, so their order
/// does not matter.
struct RidingWrites {
    private var writes: [PendingWrite.Slot: PendingWrite] = [:]
    private(set) var bytes = 0
    /// When one of them has waited as long as it may; perhaps that one has left already.
    private(set) var due: ContinuousClock.Instant?

    var count: Int { self.writes.count }

    /// Whether a write of the same slot was there, whose place it takes.
    mutating func replace(_ slot: PendingWrite.Slot, by write: PendingWrite) -> Bool {
        guard let older = self.writes[slot] else { return false }
        self.bytes += write.bytes - older.bytes
        self.writes[slot] = write
        return true
    }

    /// - Parameter slot: of which there is none yet.
    mutating func add(_ write: PendingWrite, _ slot: PendingWrite.Slot, until end: ContinuousClock.Instant) {
        self.writes[slot] = write
        self.bytes += write.bytes
        self.due = self.due.map { min($0, end) } ?? end
    }

    /// What is to be written before the end of `job`.
    mutating func take(_ job: JobID) -> [PendingWrite] {
        let taken = PendingWrite.Slot.Kind.allCases.compactMap { kind in
            self.writes.removeValue(forKey: PendingWrite.Slot(job: job, kind: kind))
        }
        self.bytes -= taken.reduce(0) { $0 + $1.bytes }
        if self.writes.isEmpty { self.due = nil }
        return taken
    }

    mutating func takeAll() -> [PendingWrite] {
        defer {
            self.writes.removeAll(keepingCapacity: true)
            self.bytes = 0
            self.due = nil
        }
        return Array(self.writes.values)
    }
}
