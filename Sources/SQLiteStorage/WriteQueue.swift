/// What waits for the writer, as a state machine without clock or thread: bounds it, holds back what rides along, and says what
/// the writer does next.
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
    private var bytes = 0
    /// When one of them has waited as long as it may.
    private var writesDue: ContinuousClock.Instant?
    private var riding = RidingWrites()
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

    var count: Int { self.writes.count + self.riding.count + self.kept.count }

    private var due: ContinuousClock.Instant? {
        guard let first = self.writesDue, let second = self.riding.due else { return self.writesDue ?? self.riding.due }
        return min(first, second)
    }

    mutating func admit(_ write: PendingWrite, at now: ContinuousClock.Instant) -> Admission {
        if self.isStopping { return .stopping }
        if let slot = write.slot, self.riding.replace(slot, by: write) { return .taken(wakes: false) }
        let room = write.isFact ? 2 : 1
        guard self.count < self.limits.count * room,
            self.bytes + self.riding.bytes + self.keptBytes + write.bytes <= self.limits.bytes * room
        else { return .overloaded }
        let end = now + write.patience
        let wakes = self.due.map { end < $0 } ?? true
        if let slot = write.slot {
            self.riding.add(write, slot, until: end)
        } else {
            self.append(write, until: end)
        }
        return .taken(wakes: wakes)
    }

    private mutating func append(_ write: PendingWrite, until end: ContinuousClock.Instant) {
        if let job = write.ends {
            for earlier in self.riding.take(job) { self.append(earlier, until: end) }
        }
        self.writes.append(write)
        self.bytes += write.bytes
        self.writesDue = self.writesDue.map { min($0, end) } ?? end
    }

    /// - Parameters:
    ///   - checkpointIsDue: the log has grown past its bound.
    ///   - checkpointIsOwed: something is in the log that is not in the database.
    func next(
        at now: ContinuousClock.Instant, checkpointIsDue: Bool, checkpointIsOwed: Bool
    ) -> Step {
        if checkpointIsDue { return .checkpoint }
        if self.isStopping, !self.writes.isEmpty || self.riding.count > 0 { return .commit }
        if self.isStopping { return self.kept.isEmpty || self.hadLastTry ? .stop : .retry }
        if let due = self.due, due <= now { return .commit }
        if let retryAt = self.retryAt, retryAt <= now { return .retry }
        let idle = checkpointIsOwed ? self.lastActivity + Self.idleDelay : nil
        if let idle, idle <= now, self.due == nil { return .checkpoint }
        return .wait(until: [self.due, self.retryAt, idle].compactMap { $0 }.min())
    }

    /// What is written next, what was kept first: all that waits, but for what rides along and may still wait.
    mutating func takeGroup(at now: ContinuousClock.Instant) -> [PendingWrite] {
        if let due = self.riding.due, due > now, !self.isStopping { return self.takeAwaited() }
        return self.takeAll()
    }

    mutating func takeAll() -> [PendingWrite] { self.takeAwaited() + self.riding.takeAll() }

    private mutating func takeAwaited() -> [PendingWrite] {
        let group = self.kept + self.writes
        self.kept.removeAll()
        self.keptBytes = 0
        self.writes.removeAll(keepingCapacity: true)
        self.bytes = 0
        self.writesDue = nil
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
