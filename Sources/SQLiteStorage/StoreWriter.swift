import Dispatch
import GRDB
import GRDBSQLite
import Glibc
import ImageGeneration
import Storage
import Synchronization

/// The one thread that writes. All that waits when a commit ends goes into the next one, so that many acceptances share
/// a flush.
final class StoreWriter: Sendable {
    struct Settings: Sendable {
        var limits = WriteQueue.Limits()
        /// Pages in the log before a checkpoint is done even if somebody waits.
        var checkpointPages = 2048
    }

    private let pool: DatabasePool
    private let settings: Settings
    private let hooks: StoreHooks
    private let lock: StoreLock
    private let path: String
    private let inbox: Mutex<Inbox>
    private let signal = DispatchSemaphore(value: 0)
    private let logGauge = LogGauge()

    private struct Inbox {
        var queue: WriteQueue
        var health = StoreHealth.writing
        /// The writer was told and has not looked yet.
        var isSignalled = false
        /// Set when nothing is written any more.
        var failure: GatewayError?
        var hasEnded = false
        var waitingForEnd: [CheckedContinuation<Void, Never>] = []
    }

    /// - Parameter lock: let go of when the database is closed.
    init(pool: DatabasePool, lock: StoreLock, path: String, settings: Settings, hooks: StoreHooks) throws {
        self.pool = pool
        self.lock = lock
        self.path = path
        self.settings = settings
        self.hooks = hooks
        self.inbox = Mutex(Inbox(queue: WriteQueue(limits: settings.limits, now: .now)))
        try pool.writeWithoutTransaction { try self.logGauge.attach(to: $0) }
    }

    /// The thread keeps the writer alive until ``stop()``.
    func start() throws(SQLiteStoreError) {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<StoreWriter>.fromOpaque(context).takeRetainedValue().main() }
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw SQLiteStoreError(self.path, .failed("no thread (\(SystemCode.text(code)))"))
        }
        pthread_detach(thread)
    }

    /// After the last attempt to write.
    var health: StoreHealth { self.inbox.withLock { $0.health } }

    /// Writes that no commit has taken yet.
    var waitingCount: Int { self.inbox.withLock { $0.queue.count } }

    func submit(_ write: PendingWrite) {
        let (refusal, wakes) = self.inbox.withLock { inbox -> (GatewayError?, Bool) in
            if let failure = inbox.failure { return (failure, false) }
            switch inbox.queue.admit(write, at: .now) {
            case .overloaded:
                return (Self.overloaded, false)
            case .stopping:
                return (Self.closed, false)
            case .taken(let wakes):
                guard wakes, !inbox.isSignalled else { return (nil, false) }
                inbox.isSignalled = true
                return (nil, true)
            }
        }
        if wakes { self.signal.signal() }
        if let refusal { write.fail(refusal) }
    }

    /// Writes what waits, takes nothing more, closes the database.
    func stop() async {
        self.inbox.withLock { $0.queue.stop() }
        self.signal.signal()
        await withCheckedContinuation { continuation in
            let hasEnded = self.inbox.withLock { inbox in
                if !inbox.hasEnded { inbox.waitingForEnd.append(continuation) }
                return inbox.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    private static let overloaded = GatewayError(
        .overloaded, "The job store has too much to write.", retryAfterMilliseconds: 1000)
    private static let closed = GatewayError(
        .draining, "The gateway is shutting down.", retryAfterMilliseconds: 5000)
}

// MARK: - The thread

extension StoreWriter {
    private func main() {
        var checkpoints = CheckpointPolicy(limit: self.settings.checkpointPages)
        loop: while true {
            let step = self.inbox.withLock { inbox in
                inbox.isSignalled = false
                // After a failure the database is not touched any more.
                let mayWrite = inbox.failure == nil
                return inbox.queue.next(
                    at: .now, checkpointIsDue: mayWrite && checkpoints.isDue,
                    checkpointIsOwed: mayWrite && checkpoints.isOwed)
            }
            switch step {
            case .commit: self.commit(&checkpoints)
            case .retry: self.retry(&checkpoints)
            case .checkpoint: self.checkpoint(&checkpoints)
            case .wait(let deadline): self.wait(until: deadline)
            case .stop: break loop
            }
        }
        self.end()
    }

    private func wait(until deadline: ContinuousClock.Instant?) {
        guard let deadline else { return self.signal.wait() }
        let (seconds, attoseconds) = ContinuousClock.now.duration(to: deadline).components
        let nanoseconds = max(0, seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        // Rounded up, so that the deadline has passed afterwards.
        _ = self.signal.wait(timeout: .now() + .nanoseconds(Int(nanoseconds) + 1000))
    }

    private func commit(_ checkpoints: inout CheckpointPolicy) {
        self.write(self.inbox.withLock { $0.queue.takeGroup(at: .now) }, &checkpoints)
    }

    /// Tries whether the disk has room again, with what was kept and some pages besides.
    private func retry(_ checkpoints: inout CheckpointPolicy) {
        self.checkpoint(&checkpoints)
        let group = self.inbox.withLock { $0.queue.takeGroup(at: .now) }
        self.write([Self.probe] + group, &checkpoints)
    }

    private static var probe: PendingWrite {
        PendingWrite(bytes: 0, completed: nil as StoreCompletion<Void>?) { db in
            try db.execute(sql: "INSERT INTO probe (data) VALUES (zeroblob(16384))")
            try db.execute(sql: "DELETE FROM probe")
        }
    }

    private func write(_ group: [PendingWrite], _ checkpoints: inout CheckpointPolicy) {
        let outcome = self.pool.writeWithoutTransaction { db in self.perform(group, db) }
        checkpoints.committed(frames: self.logGauge.frames)
        let facts = outcome.failed.filter { write, fault in write.isFact && fault.mayMend }.map(\.0)
        let health = outcome.failed.lazy.compactMap { $0.1.health }.first ?? .writing
        let before = self.inbox.withLock { inbox in
            inbox.queue.committed(at: .now)
            if health == .full || health == .unanswered { inbox.queue.keep(facts, at: .now) }
            defer { inbox.health = health }
            return inbox.health
        }
        if health != before { self.hooks.onHealth(health) }
        if case .fatal(let text)? = outcome.fault { self.fail(text) }
        self.hooks.didCommit(outcome.committed.count)
        for committed in outcome.committed { committed() }
        for (write, fault) in outcome.failed { write.fail(fault.gatewayError) }
    }

    private func checkpoint(_ checkpoints: inout CheckpointPolicy) {
        do {
            let (log, copied) = try self.pool.writeWithoutTransaction { db in
                do {
                    let result = try db.checkpoint(.passive)
                    return (result.walFrameCount, result.checkpointedFrameCount)
                } catch {
                    throw StorageFault(error, systemCode: sqlite3_system_errno(db.sqliteConnection))
                }
            }
            checkpoints.checkpointed(frames: log, copied: copied)
        } catch {
            checkpoints.postponed()
            if case .fatal(let text) = StorageFault(error, systemCode: 0) { self.fail(text) }
        }
        self.inbox.withLock { $0.queue.checkpointed(at: .now) }
    }

    /// What the disk holds is no longer known: nothing is written any more, and the operator is told once.
    private func fail(_ text: String) {
        let waiting = self.inbox.withLock { inbox -> [PendingWrite]? in
            guard inbox.failure == nil else { return nil }
            inbox.failure = StorageFault.fatal(text).gatewayError
            return inbox.queue.takeAll()
        }
        guard let waiting else { return }
        self.hooks.onFatal("The job store \(self.path) failed and nothing more can be stored: \(text).")
        for write in waiting { write.fail(StorageFault.fatal(text).gatewayError) }
    }

    private func end() {
        let left = self.inbox.withLock { inbox in
            inbox.failure = inbox.failure ?? Self.closed
            return inbox.queue.takeAll()
        }
        for write in left { write.fail(Self.closed) }
        // A log that stays is read at the next start.
        if self.health != .failed { _ = try? self.pool.writeWithoutTransaction { try $0.checkpoint(.truncate) } }
        try? self.pool.close()
        self.lock.release()
        let waiting = self.inbox.withLock { inbox in
            inbox.hasEnded = true
            return inbox.waitingForEnd
        }
        for continuation in waiting { continuation.resume() }
    }
}

// MARK: - One group

extension StoreWriter {
    struct Outcome {
        var committed: [PendingWrite.Committed] = []
        var failed: [(PendingWrite, StorageFault)] = []
        /// What stopped the whole group.
        var fault: StorageFault?
        /// Without the write that failed the others may go well.
        var isSpoiltByOne = false
    }

    /// Nearly always every write goes well, and savepoints cost; where one does not, the group is written again with them.
    private func perform(_ group: [PendingWrite], _ db: Database) -> Outcome {
        let outcome = self.transact(group, db) { write, outcome in outcome.committed.append(try write.apply(db)) }
        guard outcome.isSpoiltByOne, group.count > 1 else { return outcome }
        return self.transact(group, db) { write, outcome in try self.apply(write, db, &outcome) }
    }

    private func transact(
        _ group: [PendingWrite], _ db: Database, apply: (PendingWrite, inout Outcome) throws -> Void
    ) -> Outcome {
        var outcome = Outcome()
        var isApplied = false
        do {
            try db.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
            for write in group { try apply(write, &outcome) }
            isApplied = true
            try self.hooks.willCommit(outcome.committed.count)
            try db.cachedStatement(sql: "COMMIT").execute()
        } catch {
            let fault = StorageFault(error, systemCode: sqlite3_system_errno(db.sqliteConnection))
            if db.isInsideTransaction { try? db.rollback() }
            // Nothing of the group is stored, also what went well before.
            return Outcome(
                failed: group.map { ($0, fault) }, fault: fault, isSpoiltByOne: !isApplied && fault.mayBeOfOne)
        }
        return outcome
    }

    /// A write that fails is undone alone, unless the failure took the transaction with it or concerns the whole
    /// database.
    private func apply(_ write: PendingWrite, _ db: Database, _ outcome: inout Outcome) throws {
        try db.cachedStatement(sql: "SAVEPOINT write").execute()
        do {
            let committed = try write.apply(db)
            try db.cachedStatement(sql: "RELEASE write").execute()
            outcome.committed.append(committed)
        } catch {
            let fault = StorageFault(error, systemCode: sqlite3_system_errno(db.sqliteConnection))
            guard db.isInsideTransaction else { throw fault }
            guard fault.mayBeOfOne else { throw fault }
            try db.cachedStatement(sql: "ROLLBACK TO write").execute()
            try db.cachedStatement(sql: "RELEASE write").execute()
            outcome.failed.append((write, fault))
        }
    }
}

extension StorageFault {
    fileprivate var mayMend: Bool { self.health == .full || self.health == .unanswered }

    /// Other writes of the same transaction may go well.
    fileprivate var mayBeOfOne: Bool {
        switch self {
        case .single, .full: true
        case .temporary, .fatal: false
        }
    }

    /// What it says of the store; nil when it says nothing.
    fileprivate var health: StoreHealth? {
        switch self {
        case .single: nil
        case .full: .full
        case .temporary: .unanswered
        case .fatal: .failed
        }
    }
}
