/// What gives way, and in which order, when payloads want more memory than there is: a state machine without clock or I/O.
///
/// 1. Previews that newer ones superseded and that are kept for a reader about to come: the log that keeps some longest, first.
/// 2. Payloads move to where they can be read again: first those of jobs that are over, then those of the log that has held some longest.
/// 3. The client that has taken nothing for longest, and for ``stallGrace`` at least.
/// 4. Jobs that are over let go of pictures that no disk takes: what was moved longest ago, first.
///
/// After that nothing is left but to refuse work: ``refused(gathered:limit:gatherers:)`` says whose. Every step takes the same time
/// however many logs and clients there are.
package struct MemoryPressure: Sendable {
    package typealias Key = UInt64

    package enum Victim: Hashable, Sendable {
        /// The log drops what is superseded.
        case previews(Key)
        /// Jobs that are over move their payloads.
        case finishedJobs
        /// The log moves its payloads.
        case payloads(Key)
        case reader(Key)
        /// Jobs that are over let go of what cannot be moved.
        case finishedPictures
    }

    /// What jobs that are over may still do.
    package enum FinishedJobs: Sendable {
        case move, letGo, nothing
    }

    /// A client that takes nothing for shorter than this is merely busy, in milliseconds.
    package static let stallGrace: Int64 = 1000

    private var previews = AgeList<Void>()
    private var holders = AgeList<Void>()
    /// Since when each has taken nothing.
    private var readers = AgeList<Int64>()
    /// Bytes that each waits for.
    private var waiting = AgeList<Int>()
    /// Those of them that want little.
    private var small = AgeList<Int>()
    /// Those of them that have gathered something, and the large among these.
    private var holding = AgeList<Void>()
    private var largeHolding = AgeList<Void>()
    /// Logs whose previews were moved.
    private var moved = AgeList<Void>()

    package init() {}

    // MARK: What there is

    /// The log keeps superseded previews.
    package mutating func keepsPreviews(_ log: Key) {
        if self.previews[log] == nil { self.previews.append((), for: log) }
    }

    /// The log holds payloads that may be moved.
    package mutating func holdsPayloads(_ log: Key) {
        if self.holders[log] == nil { self.holders.append((), for: log) }
    }

    /// Previews of the log were moved: they give way to finished pictures where the disk is full.
    package mutating func movedPreviews(_ log: Key) {
        if self.moved[log] == nil { self.moved.append((), for: log) }
    }

    /// The log whose previews were moved longest ago, no longer listed.
    package mutating func takeMovedPreviews() -> Key? {
        guard let log = self.moved.first?.key else { return nil }
        self.moved.remove(log)
        return log
    }

    package mutating func forget(log: Key) {
        self.moved.remove(log)
        self.previews.remove(log)
        self.holders.remove(log)
    }

    /// The client has taken nothing since `now`: called again whenever it has taken something and still has not all.
    package mutating func stalled(_ reader: Key, at now: Int64) { self.readers.append(now, for: reader) }

    package mutating func forget(reader: Key) { self.readers.remove(reader) }

    // MARK: Who gives way

    package mutating func nextVictim(now: Int64, finishedJobs: FinishedJobs) -> Victim? {
        if let log = self.previews.first?.key {
            self.previews.remove(log)
            return .previews(log)
        }
        if finishedJobs == .move { return .finishedJobs }
        if let log = self.holders.first?.key {
            self.holders.remove(log)
            return .payloads(log)
        }
        guard let (reader, since) = self.readers.first, since + Self.stallGrace <= now else {
            return finishedJobs == .letGo ? .finishedPictures : nil
        }
        self.readers.remove(reader)
        return .reader(reader)
    }

    /// When the client that has taken nothing for longest becomes a victim; nil when none is stalled.
    package var nextStall: Int64? { self.readers.first.map { $0.value + Self.stallGrace } }

    // MARK: Who waits

    package var waiterCount: Int { self.waiting.count }
    /// The one that waits longest: it is served first, so that a large wish is not starved by small ones.
    package var firstWaiter: (key: Key, bytes: Int)? { self.waiting.first.map { ($0.key, $0.value) } }

    package func isSmall(_ waiter: Key) -> Bool { self.small[waiter] != nil }

    /// Of those that want little, the one that waits longest.
    package var firstSmallWaiter: (key: Key, bytes: Int)? { self.small.first.map { ($0.key, $0.value) } }

    /// - Parameters:
    ///   - isLarge: of the whole event, as far as it is known.
    ///   - holds: it has gathered something.
    ///   - goesOn: it was served before and is in the middle of its event: it comes first, so that events become whole one after
    ///     the other rather than all at once, for which there is never enough.
    package mutating func waits(
        _ waiter: Key, for bytes: Int, isLarge: Bool = true, holds: Bool = true, goesOn: Bool = false
    ) {
        self.waiting.insert(bytes, for: waiter, inFront: goesOn)
        if !isLarge { self.small.insert(bytes, for: waiter, inFront: goesOn) }
        guard holds else { return }
        self.holding.insert((), for: waiter, inFront: goesOn)
        if isLarge { self.largeHolding.insert((), for: waiter, inFront: goesOn) }
    }

    /// - Returns: whether it waited.
    @discardableResult
    package mutating func stopsWaiting(_ waiter: Key) -> Bool {
        self.small.remove(waiter)
        self.holding.remove(waiter)
        self.largeHolding.remove(waiter)
        return self.waiting.remove(waiter) != nil
    }

    /// Whom to refuse: when all that gather wait for one another, and not even an otherwise empty memory would serve the first of
    /// them, the one that began to wait last of those whose refusal frees anything; one that wants little only where all do.
    /// - Parameters:
    ///   - gathered: bytes that events not yet whole hold.
    ///   - gatherers: how many hold them or wait.
    package func refused(gathered: Int, limit: Int, gatherers: Int) -> Key? {
        guard let first = self.firstWaiter, let last = self.waiting.last, self.waiting.count >= gatherers,
            gathered + first.bytes > limit
        else { return nil }
        return self.largeHolding.last?.key ?? self.holding.last?.key ?? last.key
    }
}
