/// What waits for the writer, as a state machine without clock or thread: bounds it, lets newer progress take the place
/// of older, and says what the writer does next.
struct WriteQueue {
    struct Limits: Sendable {
        /// Writes at once. Facts may use as much again.
        var count = 16_384
        /// In bytes, likewise.
        var bytes = 64 << 20
    }

    enum Admission: Equatable {
        /// `wakes`: the writer waits for something else and has to look again.
        case taken(wakes: Bool)
        case overloaded
        case stopping
    }

    enum Step: Equatable {
        case commit
        /// What could not be written is tried again.
        case retry
        case checkpoint
        case wait(until: ContinuousClock.Instant?)
        case stop
    }

    /// How long nothing may happen before the log is copied into the database.
    static let idleDelay = Duration.milliseconds(250)
    /// How long after a fault that may mend it is tried again, unless something else is written before.
    static let retryDelay = Duration.seconds(1)

    private(set) var isStopping = false
    private let limits: Limits
    private var writes: [PendingWrite] = []
    private var slots: [PendingWrite.Slot: Int] = [:]
    private var bytes = 0
    /// When one of them has waited as long as it may.
    private var due: ContinuousClock.Instant?
    /// Facts that could not be written, oldest first.
    private var kept: [PendingWrite] = []
    private var keptBytes = 0
    private var retryAt: ContinuousClock.Instant?
    /// What was kept has been tried once more since the stop.
    private var hadLastTry = false
    private var lastActivity: ContinuousClock.Instant

    init(limits: Limits, now: ContinuousClock.Instant) {
        self.limits = limits
        self.lastActivity = now
    }

    var count: Int { self.writes.count + self.kept.count }

    mutating func admit(_ write: PendingWrite, at now: ContinuousClock.Instant) -> Admission {
        if self.isStopping { return .stopping }
        if let slot = write.slot, let index = self.slots[slot] {
            self.bytes += write.bytes - self.writes[index].bytes
            self.writes[index] = write
            return .taken(wakes: false)
        }
        let room = write.isFact ? 2 : 1
        guard self.count < self.limits.count * room,
            self.bytes + self.keptBytes + write.bytes <= self.limits.bytes * room
        else { return .overloaded }
        if let slot = write.slot { self.slots[slot] = self.writes.count }
        self.writes.append(write)
        self.bytes += write.bytes
        let end = now + write.patience
        if let due = self.due, due <= end { return .taken(wakes: false) }
        self.due = end
        return .taken(wakes: true)
    }

    /// - Parameters:
    ///   - checkpointIsDue: the log has grown past its bound.
    ///   - checkpointIsOwed: something is in the log that is not in the database.
    func next(
        at now: ContinuousClock.Instant, checkpointIsDue: Bool, checkpointIsOwed: Bool
    ) -> Step {
        if checkpointIsDue { return .checkpoint }
        if self.isStopping, !self.writes.isEmpty { return .commit }
        if self.isStopping { return self.kept.isEmpty || self.hadLastTry ? .stop : .retry }
        if let due = self.due, due <= now { return .commit }
        if let retryAt = self.retryAt, retryAt <= now { return .retry }
        let idle = checkpointIsOwed ? self.lastActivity + Self.idleDelay : nil
        if let idle, idle <= now, self.due == nil { return .checkpoint }
        return .wait(until: [self.due, self.retryAt, idle].compactMap { $0 }.min())
    }

    /// All that waits, what was kept first.
    mutating func takeGroup() -> [PendingWrite] {
        let group = self.kept + self.writes
        self.kept.removeAll()
        self.keptBytes = 0
        self.writes.removeAll(keepingCapacity: true)
        self.slots.removeAll(keepingCapacity: true)
        self.bytes = 0
        self.due = nil
        return group
    }

    /// A group was written, as a whole or in parts.
    mutating func committed(at now: ContinuousClock.Instant) {
        self.lastActivity = now
        self.retryAt = nil
    }

    mutating func checkpointed(at now: ContinuousClock.Instant) { self.lastActivity = now }

    /// Nothing could be written for now; `facts` are tried again.
    mutating func keep(_ facts: [PendingWrite], at now: ContinuousClock.Instant) {
        self.kept += facts
        self.keptBytes += facts.reduce(0) { $0 + $1.bytes }
        self.retryAt = now + Self.retryDelay
        if self.isStopping { self.hadLastTry = true }
    }

    mutating func stop() { self.isStopping = true }
}
