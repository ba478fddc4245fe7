package import ImageGeneration
import NIOCore
import NIOPosix
import Synchronization

/// Bytes of payload the process holds, counted by capacity until the last reference is gone.
///
/// What is counted: payloads of events, events that are being gathered, request bodies. When there is too little,
/// ``MemoryPressure`` says what gives way; this class does it. Locks: the one of a log may be held while a lease ends here, so
/// nothing is called with the lock of this class held, and what a lease's end leads to happens later, on an event loop.
package final class PayloadBudget: Sendable {
    package typealias Key = MemoryPressure.Key

    /// In bytes.
    package let limit: Int
    let held = Atomic<Int>(0)
    private let peak = Atomic<Int>(0)
    /// Counted by ``held``, and on the way out: being written to disk, or of clients that are being closed.
    private let leaving = Atomic<Int>(0)
    private let uploads = Atomic<Int>(0)
    /// Bytes of events that are not whole yet, and in how many rooms they are or are waited for.
    let gathered = Atomic<Int>(0)
    let gatherers = Atomic<Int>(0)
    private let keys = Atomic<UInt64>(1)
    private let hasWaiters = Atomic<Bool>(false)
    private let isScheduled = Atomic<Bool>(false)
    private let hasTimer = Atomic<Bool>(false)
    private let isTrimming = Atomic<Bool>(false)
    private let state = Mutex(State())
    private let now: @Sendable () -> Int64
    private let later: @Sendable (_ milliseconds: Int64, _ work: @escaping @Sendable () -> Void) -> Void

    private struct State {
        var pressure = MemoryPressure()
        var logs: [Key: LogReference] = [:]
        var closers: [Key: @Sendable () -> Void] = [:]
        /// Bytes of clients that are being closed.
        var closing: [Key: Int] = [:]
        /// What a stalled client holds.
        var stalledBytes: [Key: Int] = [:]
        var waiters: [Key: Waiter] = [:]
        var figures = Figures()
        var reclaimer: (@Sendable (_ bytes: Int, _ lettingGo: Bool) -> Bool)?
        var trim: (@Sendable () -> Void)?
        var displace: (@Sendable (ImagePayload, ImageID?) -> (any DisplacedPayload)?)?
    }

    private struct LogReference {
        weak var log: EventLog?
    }

    private struct Waiter {
        let room: GatheringRoom
        let answer: @Sendable (Bool) -> Void
    }

    /// What has given way so far.
    package struct Figures: Sendable {
        package var displacedPayloads = 0
        package var closedReaders = 0
        package var refused = 0
    }

    /// - Parameters:
    ///   - limit: in bytes.
    ///   - now: milliseconds of a clock that never goes back.
    ///   - later: runs what it is given after so many milliseconds, never at once.
    package init(
        limit: Int, now: @escaping @Sendable () -> Int64 = PayloadBudget.uptime,
        later: @escaping @Sendable (Int64, @escaping @Sendable () -> Void) -> Void = PayloadBudget.onEventLoop
    ) {
        self.limit = limit
        self.now = now
        self.later = later
    }

    package static let uptime: @Sendable () -> Int64 = {
        Int64(NIODeadline.now().uptimeNanoseconds / 1_000_000)
    }

    package static let onEventLoop: @Sendable (Int64, @escaping @Sendable () -> Void) -> Void = { delay, work in
        let eventLoop = MultiThreadedEventLoopGroup.singleton.any()
        if delay == 0 { eventLoop.execute(work) } else { eventLoop.scheduleTask(in: .milliseconds(delay), work) }
    }

    package var heldBytes: Int { self.held.load(ordering: .relaxed) }
    package var figures: Figures { self.state.withLock { $0.figures } }
    package var waiterCount: Int { self.state.withLock { $0.pressure.waiterCount } }

    /// The most that was held since this was last asked.
    package func takePeak() -> Int { self.peak.exchange(self.heldBytes, ordering: .relaxed) }

    /// Whether another job may start: its first payload would find no room above the limit.
    package var isExhausted: Bool { self.heldBytes - self.leaving.load(ordering: .relaxed) >= self.limit }

    func makeKey() -> Key { self.keys.add(1, ordering: .relaxed).oldValue }

    /// Who can move payloads of jobs that are over: called with the bytes wanted, from any thread, and answers whether anything gave way.
    /// With `lettingGo`, nothing else is left, and what cannot be moved goes.
    package func onPressure(_ reclaim: (@Sendable (_ bytes: Int, _ lettingGo: Bool) -> Bool)?) {
        self.state.withLock { $0.reclaimer = reclaim }
    }

    /// Who gives freed memory back to the system: called while things give way, from an event loop, at most ten times a second.
    package func onRelief(_ trim: (@Sendable () -> Void)?) { self.state.withLock { $0.trim = trim } }

    /// Where payloads go that logs move: nil from `displace` when they cannot be kept elsewhere.
    package func onDisplacement(
        _ displace: (@Sendable (ImagePayload, ImageID?) -> (any DisplacedPayload)?)?
    ) { self.state.withLock { $0.displace = displace } }

    /// The payload in a form that holds no memory, or soon holds none; nil where there is none. One that is so already stays.
    /// - Parameter image: of a finished picture.
    package func displaced(_ payload: ImagePayload, image: ImageID?) -> ImagePayload? {
        guard payload.displaced == nil else { return payload }
        guard let displace = self.state.withLock({ $0.displace }) else { return nil }
        let make = { () -> (any DisplacedPayload)? in
            if let place = displace(payload, image) { return place }
            return image == nil ? nil : self.inPlaceOfPreviews { displace(payload, image) }
        }
        guard let displaced = payload.lease.map({ $0.displaced(payload.base64, by: make) }) ?? make() else {
            return nil
        }
        self.state.withLock { $0.figures.displacedPayloads += 1 }
        return ImagePayload(displaced: displaced)
    }
}

extension PayloadBudget {
    /// Previews on the disk give way, those moved longest ago first, until `place` finds room.
    private func inPlaceOfPreviews(_ place: () -> (any DisplacedPayload)?) -> (any DisplacedPayload)? {
        while let key = self.state.withLock({ $0.pressure.takeMovedPreviews() }) {
            self.log(key)?.dropMovedPreviews()
            if let placed = place() { return placed }
        }
        return nil
    }
}

// MARK: - Leases

extension PayloadBudget {
    /// Counts `bytes` until the lease is gone. Nil when the limit would be passed whatever is let go.
    package func lease(_ bytes: Int) -> PayloadLease? {
        if self.add(bytes) { return self.makeLease(bytes) }
        return self.reclaim(bytes) && self.add(bytes) ? self.makeLease(bytes) : nil
    }

    /// Counts `bytes` even above the limit: for what must not be lost, a finished picture.
    package func leaseAlways(_ bytes: Int) -> PayloadLease {
        self.force(bytes)
        return self.makeLease(bytes)
    }

    /// Counts bytes of a request. Requests may hold half of all, so that there is always room for what they ask for.
    package func leaseUpload(_ bytes: Int) -> PayloadLease? {
        let (_, after) = self.uploads.add(bytes, ordering: .relaxed)
        guard after <= self.limit / 2, self.add(bytes) || self.reclaim(bytes) && self.add(bytes) else {
            self.uploads.subtract(bytes, ordering: .relaxed)
            return nil
        }
        return PayloadLease(bytes: bytes) { [self] bytes in
            self.uploads.subtract(bytes, ordering: .relaxed)
            self.release(bytes)
        }
    }

    func makeLease(_ bytes: Int) -> PayloadLease { PayloadLease(bytes: bytes) { [self] in self.release($0) } }

    func add(_ bytes: Int) -> Bool { self.add(bytes, upTo: self.limit) }

    private func add(_ bytes: Int, upTo ceiling: Int) -> Bool {
        let (_, after) = self.held.add(bytes, ordering: .relaxed)
        guard after <= ceiling else {
            self.held.subtract(bytes, ordering: .relaxed)
            return false
        }
        self.peak.max(after, ordering: .relaxed)
        return true
    }

    func force(_ bytes: Int) {
        let (_, after) = self.held.add(bytes, ordering: .relaxed)
        self.peak.max(after, ordering: .relaxed)
        if after > self.limit { self.reclaim(0) }
    }

    func release(_ bytes: Int) {
        self.held.subtract(bytes, ordering: .relaxed)
        self.serveSoon()
    }

    /// Bytes that are still held and will soon not be.
    func isLeaving(_ bytes: Int) { self.leaving.add(bytes, ordering: .relaxed) }

    func hasLeft(_ bytes: Int) {
        self.leaving.subtract(bytes, ordering: .relaxed)
        self.serveSoon()
    }
}

// MARK: - Giving way

extension PayloadBudget {
    /// Makes room for `bytes` as far as something gives way. Not to be called with the lock of a log held.
    /// - Returns: whether anything did.
    @discardableResult
    package func reclaim(_ bytes: Int) -> Bool {
        var gaveWay = false
        var finishedJobs = MemoryPressure.FinishedJobs.move
        while true {
            let short = self.heldBytes - self.leaving.load(ordering: .relaxed) + bytes - self.limit
            guard short > 0, let victim = self.nextVictim(finishedJobs) else {
                if gaveWay { self.trimLater() }
                return gaveWay
            }
            switch victim {
            case .previews(let key):
                self.log(key)?.dropSupersededPreviews()
            case .finishedJobs:
                guard self.finishedJobsGiveWay(short, lettingGo: false) else {
                    finishedJobs = .letGo
                    continue
                }
            case .payloads(let key):
                self.log(key)?.displacePayloads { self.displaced($0, image: $1) }
            case .reader(let key):
                self.close(key)
            case .finishedPictures:
                guard self.finishedJobsGiveWay(short, lettingGo: true) else {
                    finishedJobs = .nothing
                    continue
                }
            }
            gaveWay = true
        }
    }

    private func trimLater() {
        guard !self.isTrimming.exchange(true, ordering: .relaxed) else { return }
        self.later(Self.trimInterval) { [weak self] in
            self?.isTrimming.store(false, ordering: .relaxed)
            self?.state.withLock({ $0.trim })?()
        }
    }

    /// In milliseconds.
    private static let trimInterval: Int64 = 100

    private func nextVictim(_ finishedJobs: MemoryPressure.FinishedJobs) -> MemoryPressure.Victim? {
        let now = self.now()
        return self.state.withLock { $0.pressure.nextVictim(now: now, finishedJobs: finishedJobs) }
    }

    private func finishedJobsGiveWay(_ bytes: Int, lettingGo: Bool) -> Bool {
        self.state.withLock({ $0.reclaimer })?(bytes, lettingGo) ?? false
    }

    private func log(_ key: Key) -> EventLog? { self.state.withLock { $0.logs[key]?.log } }

    private func close(_ reader: Key) {
        let closer = self.state.withLock { state -> (@Sendable () -> Void)? in
            guard let closer = state.closers[reader] else { return nil }
            let bytes = state.stalledBytes[reader] ?? 0
            state.closing[reader] = bytes
            state.figures.closedReaders += 1
            self.isLeaving(bytes)
            return closer
        }
        closer?()
    }

    // MARK: Logs

    func keepsPreviews(_ log: EventLog, _ key: Key) {
        self.state.withLock { state in
            state.logs[key] = LogReference(log: log)
            state.pressure.keepsPreviews(key)
        }
    }

    func holdsPayloads(_ log: EventLog, _ key: Key) {
        self.state.withLock { state in
            state.logs[key] = LogReference(log: log)
            state.pressure.holdsPayloads(key)
        }
        self.serveSoon()
    }

    func movedPreviews(_ log: EventLog, _ key: Key) {
        self.state.withLock { state in
            state.logs[key] = LogReference(log: log)
            state.pressure.movedPreviews(key)
        }
    }

    func forget(log key: Key) {
        self.state.withLock { state in
            state.logs[key] = nil
            state.pressure.forget(log: key)
        }
    }

    // MARK: Readers

    func register(_ reader: Key, close: @escaping @Sendable () -> Void) {
        self.state.withLock { $0.closers[reader] = close }
    }

    func stalled(_ reader: Key, holding bytes: Int) {
        let now = self.now()
        self.state.withLock { state in
            guard state.closing[reader] == nil else { return }
            state.stalledBytes[reader] = bytes
            state.pressure.stalled(reader, at: now)
        }
        if self.hasWaiters.load(ordering: .relaxed) { self.serveLater(MemoryPressure.stallGrace) }
    }

    func moves(_ reader: Key) {
        self.state.withLock { state in
            state.stalledBytes[reader] = nil
            state.pressure.forget(reader: reader)
        }
    }

    func forget(reader: Key) {
        let (closer, left) = self.state.withLock { state in
            state.stalledBytes[reader] = nil
            state.pressure.forget(reader: reader)
            return (state.closers.removeValue(forKey: reader), state.closing.removeValue(forKey: reader))
        }
        if let left { self.hasLeft(left) }
        withExtendedLifetime(closer) {}
    }
}

// MARK: - Waiting

extension PayloadBudget {
    /// - Parameter answer: called later, unless this returns true: with true once the bytes are counted, with false when they will
    ///   never be.
    func reserve(_ bytes: Int, _ room: GatheringRoom, answer: @escaping @Sendable (Bool) -> Void) -> Bool {
        let isSmall = room.bytes + bytes <= self.small
        // Nobody overtakes those who wait but who wants little.
        if isSmall || !self.hasWaiters.load(ordering: .relaxed) {
            let ceiling = self.ceiling(isSmall: isSmall)
            if self.add(bytes, upTo: ceiling) { return true }
            if self.reclaim(bytes + self.limit - ceiling), self.add(bytes, upTo: ceiling) { return true }
        }
        self.state.withLock { state in
            state.waiters[room.key] = Waiter(room: room, answer: answer)
            state.pressure.waits(
                room.key, for: bytes, isLarge: !isSmall, holds: room.bytes > 0, goesOn: room.wasServed)
            self.hasWaiters.store(true, ordering: .relaxed)
        }
        self.serveSoon()
        return false
    }

    /// A sixteenth is for those who want little, so that large pictures do not keep small ones waiting.
    private func ceiling(isSmall: Bool) -> Int { isSmall ? self.limit : self.limit - self.limit / 16 }

    private var small: Int { self.limit / 64 }

    /// - Returns: whether it waited.
    @discardableResult
    func stopWaiting(_ room: Key) -> Bool {
        let waiter = self.state.withLock { state in
            state.pressure.stopsWaiting(room)
            self.hasWaiters.store(state.pressure.waiterCount > 0, ordering: .relaxed)
            return state.waiters.removeValue(forKey: room)
        }
        self.serveSoon()
        return waiter != nil
    }

    /// Something may give way that could not before, or somebody need not be waited for.
    package func serveSoon() {
        guard self.hasWaiters.load(ordering: .relaxed),
            !self.isScheduled.exchange(true, ordering: .relaxed)
        else { return }
        self.later(0) { [weak self] in
            self?.isScheduled.store(false, ordering: .relaxed)
            self?.serve()
        }
    }

    /// One timer at a time: what it finds it looks at again.
    private func serveLater(_ milliseconds: Int64) {
        guard !self.hasTimer.exchange(true, ordering: .relaxed) else { return }
        self.later(min(max(1, milliseconds), MemoryPressure.stallGrace)) { [weak self] in
            self?.hasTimer.store(false, ordering: .relaxed)
            self?.serveSoon()
        }
    }

    private enum Service {
        case done
        case answer(Waiter, Bool)
        /// The first needs so many bytes.
        case short(Int)
    }

    private func serve() {
        while true {
            switch self.nextService() {
            case .done: return
            case .answer(let waiter, let granted): waiter.answer(granted)
            case .short(let bytes):
                if self.reclaim(bytes) { continue }
                let next = self.state.withLock { $0.pressure.nextStall }
                self.serveLater(next.map { $0 - self.now() } ?? MemoryPressure.stallGrace)
                return
            }
        }
    }

    private func nextService() -> Service {
        self.state.withLock { state in
            guard let (key, bytes) = state.pressure.firstWaiter else { return .done }
            let ceiling = self.ceiling(isSmall: state.pressure.isSmall(key))
            if self.add(bytes, upTo: ceiling) {
                state.waiters[key]?.room.granted(bytes)
                return self.answer(key, true, &state)
            }
            let refused = state.pressure.refused(
                gathered: self.gathered.load(ordering: .relaxed), limit: ceiling,
                gatherers: self.gatherers.load(ordering: .relaxed))
            if let refused {
                state.figures.refused += 1
                return self.answer(refused, false, &state)
            }
            // The last sixteenth is theirs, whoever waits before them.
            if let (key, bytes) = state.pressure.firstSmallWaiter, self.add(bytes, upTo: self.limit) {
                state.waiters[key]?.room.granted(bytes)
                return self.answer(key, true, &state)
            }
            return .short(bytes + self.limit - ceiling)
        }
    }

    private func answer(_ key: Key, _ granted: Bool, _ state: inout State) -> Service {
        state.pressure.stopsWaiting(key)
        self.hasWaiters.store(state.pressure.waiterCount > 0, ordering: .relaxed)
        guard let waiter = state.waiters.removeValue(forKey: key) else { return .done }
        waiter.room.waitIsOver()
        if granted { waiter.room.noteServed() }
        return .answer(waiter, granted)
    }
}
