import ImageGeneration

/// Writes of slots. Nobody waits for them, and a newer one makes an older one needless, so they are held back while others
/// commit: until the first of them has waited as long as it may, or their job ends.
struct RidingWrites {
    /// In the order in which their slots were first written to; nil where one has left with its job's end.
    private var writes: [PendingWrite?] = []
    private var places: [PendingWrite.Slot: Int] = [:]
    private(set) var bytes = 0
    /// When one of them has waited as long as it may; perhaps that one has left already.
    private(set) var due: ContinuousClock.Instant?

    var count: Int { self.places.count }

    /// Whether a write of the same slot was there, whose place it takes.
    mutating func replace(_ slot: PendingWrite.Slot, by write: PendingWrite) -> Bool {
        guard let place = self.places[slot], let older = self.writes[place] else { return false }
        self.bytes += write.bytes - older.bytes
        self.writes[place] = write
        return true
    }

    mutating func add(_ write: PendingWrite, _ slot: PendingWrite.Slot, until end: ContinuousClock.Instant) {
        self.places[slot] = self.writes.count
        self.writes.append(write)
        self.bytes += write.bytes
        self.due = self.due.map { min($0, end) } ?? end
    }

    /// What is to be written before the end of `job`.
    mutating func take(_ job: JobID) -> [PendingWrite] {
        let places = PendingWrite.Slot.Kind.allCases.compactMap { kind in
            self.places.removeValue(forKey: PendingWrite.Slot(job: job, kind: kind))
        }
        let taken = places.sorted().compactMap { self.writes[$0].take() }
        self.bytes -= taken.reduce(0) { $0 + $1.bytes }
        if self.places.isEmpty { self.clear() }
        return taken
    }

    mutating func takeAll() -> [PendingWrite] {
        defer { self.clear() }
        return self.writes.compactMap { $0 }
    }

    private mutating func clear() {
        self.writes.removeAll(keepingCapacity: true)
        self.places.removeAll(keepingCapacity: true)
        self.bytes = 0
        self.due = nil
    }
}
