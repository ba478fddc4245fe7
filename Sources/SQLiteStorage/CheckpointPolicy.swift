/// When the write-ahead log is copied into the database: never while somebody waits, unless the log has grown past its
/// bound.
struct CheckpointPolicy {
    /// In pages.
    let limit: Int
    /// In the log, by the last commit.
    private var frames = 0
    /// Of these, in the database.
    private var copied = 0

    /// - Parameter limit: pages that may be in the log alone before acceptances wait for a checkpoint.
    init(limit: Int) { self.limit = limit }

    var isOwed: Bool { self.frames > self.copied }
    var isDue: Bool { self.frames - self.copied >= self.limit }

    mutating func committed(frames: Int) {
        // The log has begun anew: all that was in it is in the database.
        if frames < self.frames { self.copied = 0 }
        self.frames = frames
    }

    /// - Parameter copied: less than all of them while a reader looks at an older state.
    mutating func checkpointed(frames: Int, copied: Int) {
        self.frames = frames
        self.copied = copied
    }

    /// A checkpoint that failed is tried again after the log has grown by its bound once more.
    mutating func postponed() { self.copied = self.frames }
}
