package import ImageGeneration
import Synchronization

/// One job's log in memory: the joint between the upstream half, which appends, and the client halves, which tail it.
///
/// Taking a position and registering for what follows happen under one lock, so a reader neither misses an event nor sees
/// one twice. Readers pull; a slow one finds only what is still retained, which for previews is the newest. One that is new, or
/// had read everything, finds all that came since, however quickly one preview follows another.
package final class EventLog: Sendable {
    private let state: Mutex<State>
    private let budget: PayloadBudget?
    /// Set by who has written the job to a client, to its end.
    package let delivered = DeliveryMark()
    /// Names the log to the budget.
    private let key: PayloadBudget.Key

    private struct State: ~Copyable {
        var journal: JobJournal
        /// The budget knows that the log holds payloads that can be moved, and that it keeps superseded previews.
        var isHolder = false
        var isKeeper = false
        /// The budget has ever been told.
        var isListed = false
        /// Readers that wait for the next event, each told once.
        var waiting: [WaitingReader] = []
        /// Within ``EventLog/coalescingWakes(_:)``: readers to wake at its end.
        var told: [WaitingReader] = []
        var isCoalescing = false
        /// Readers that are new or were told, and have not come yet; for them superseded previews are kept.
        var awaited: [ObjectIdentifier] = []
        var readers = 0

        /// Those who wait are awaited from now on.
        /// - Returns: whom to wake at once.
        mutating func tell() -> [WaitingReader] {
            let woken = self.waiting
            self.waiting = []
            for reader in woken { self.awaited.append(reader.id) }
            guard self.isCoalescing else { return woken }
            self.told += woken
            return []
        }

        mutating func noteLargePayload() -> News {
            let news = News(
                isHolder: !self.isHolder, isKeeper: !self.isKeeper && self.journal.keepsSuperseded)
            self.isListed = true
            self.isHolder = true
            self.isKeeper = self.isKeeper || news.isKeeper
            return news
        }

        /// `reader` neither waits nor is awaited.
        mutating func forget(_ reader: ObjectIdentifier) {
            self.waiting.removeAll { $0.id == reader }
            guard !self.awaited.isEmpty else { return }
            self.awaited.removeAll { $0 == reader }
            if self.awaited.isEmpty { self.journal.dropSupersededPreviews() }
        }
    }

    private struct WaitingReader {
        let id: ObjectIdentifier
        let wake: @Sendable () -> Void
    }

    /// Stands for the first reader until it comes.
    private static let expectedReader = ObjectIdentifier(EventLog.self)

    /// - Parameters:
    ///   - epoch: the start counter of this process, the high half of every `seq`.
    ///   - expectsReader: somebody will read from the first event on, and loses no preview by coming a moment after it.
    ///   - budget: what the log's payloads are counted by; the log gives way when that is short.
    package init(epoch: UInt32, expectsReader: Bool = false, budget: PayloadBudget? = nil) {
        var state = State(journal: JobJournal(epoch: epoch))
        if expectsReader { state.awaited = [Self.expectedReader] }
        self.state = Mutex(state)
        self.budget = budget
        self.key = budget?.makeKey() ?? 0
    }

    deinit { if self.state.withLock({ $0.isListed }) { self.budget?.forget(log: self.key) } }

    /// A log as it was kept, to be read on: see ``JobJournal/init(retained:lostThrough:)``.
    package init(retained: [SequencedEvent], lostThrough: EventSequence? = nil) {
        self.state = Mutex(State(journal: JobJournal(retained: retained, lostThrough: lostThrough)))
        self.budget = nil
        self.key = 0
    }

    /// Writes an event and wakes who waits. Nil when the job is over already: the first terminal event wins.
    /// - Parameter leasedBytes: what the event's payload is counted by, for callers that know without looking.
    @discardableResult
    package func append(
        _ event: JobEvent, at: Timestamp, stage: Stage? = nil, progress: Int? = nil, leasedBytes: Int? = nil
    ) -> SequencedEvent? {
        let isLarge = (leasedBytes ?? event.payload?.lease?.bytes ?? 0) >= Self.largePayload
        var news = News()
        let (entry, woken) = self.state.withLock { state -> (SequencedEvent?, [WaitingReader]) in
            let entry = state.journal.append(
                event, at: at, stage: stage, progress: progress, keepingPreviews: !state.awaited.isEmpty)
            if isLarge { news = state.noteLargePayload() }
            return (entry, entry == nil || state.waiting.isEmpty ? [] : state.tell())
        }
        if news.isHolder { self.budget?.holdsPayloads(self, self.key) }
        if news.isKeeper { self.budget?.keepsPreviews(self, self.key) }
        for reader in woken { reader.wake() }
        return entry
    }

    /// What the budget has to be told.
    private struct News {
        var isHolder = false
        var isKeeper = false
    }

    /// Smaller payloads are not worth moving, in bytes of their lease.
    private static let largePayload = 64 << 10

    /// Lets go of previews that newer ones superseded, whoever may come for them.
    func dropSupersededPreviews() {
        let dropped = self.state.withLock { state in
            state.isKeeper = false
            defer { state.journal.dropSupersededPreviews() }
            return state.journal.entries
        }
        withExtendedLifetime(dropped) {}
    }

    /// Moves the large payloads to where they can be read again; previews that cannot be moved are let go of.
    /// - Parameter displace: nil for one that cannot be moved.
    func displacePayloads(_ displace: (ImagePayload, ImageID?) -> ImagePayload?) {
        let entries = self.state.withLock { state in
            state.isHolder = false
            return state.journal.entries
        }
        var displaced: [EventSequence: SequencedEvent] = [:]
        var dropped: Set<EventSequence> = []
        for entry in entries where (entry.event.payload?.lease?.bytes ?? 0) >= Self.largePayload {
            displaced[entry.sequence] = entry.displacing(displace)
            if displaced[entry.sequence] == nil, entry.event.isPreview { dropped.insert(entry.sequence) }
        }
        self.state.withLock { state in
            state.journal.replace(displaced)
            state.journal.dropPreviews { dropped.contains($0.sequence) }
        }
        if displaced.values.contains(where: \.event.isPreview) { self.budget?.movedPreviews(self, self.key) }
        withExtendedLifetime(entries) {}
    }

    /// Lets go of the previews that were moved.
    func dropMovedPreviews() {
        let dropped = self.state.withLock { state in
            defer { state.journal.dropPreviews { $0.event.payload?.displaced != nil } }
            return state.journal.entries
        }
        withExtendedLifetime(dropped) {}
    }

    /// Wakes readers once for all that `body` writes, so that a burst from the upstream leaves in one write. One writer at a time.
    package func coalescingWakes(_ body: () -> Void) {
        self.state.withLock { $0.isCoalescing = true }
        body()
        let told = self.state.withLock { state in
            state.isCoalescing = false
            defer { state.told = [] }
            return state.told
        }
        for reader in told { reader.wake() }
    }

    /// Where the job stands now.
    package var standing: Standing {
        self.state.withLock {
            Standing(
                stage: $0.journal.stage, progress: $0.journal.progress, last: $0.journal.last,
                terminal: $0.journal.terminal, oldest: $0.journal.entries.first?.sequence,
                lostThrough: $0.journal.lostThrough)
        }
    }

    package struct Standing: Sendable {
        package let stage: Stage
        package let progress: Int
        package let last: EventSequence
        package let terminal: SequencedEvent?
        /// The oldest event that is retained.
        package let oldest: EventSequence?
        /// See ``JobJournal/lostThrough``.
        package let lostThrough: EventSequence?
    }

    /// All that is retained, oldest first.
    package var retained: [SequencedEvent] {
        self.state.withLock { $0.journal.entries }
    }

    /// A number for an event sent to one reader and not kept; nil once the job is over, and while there is something that the reader
    /// has not read: a number above that one's would be taken for having seen it.
    fileprivate func reserveSequence(after position: EventSequence, progress: Int) -> EventSequence? {
        self.state.withLock { state in
            guard state.journal.terminal == nil, state.journal.entries(after: position).isEmpty else { return nil }
            state.journal.raise(progress: progress)
            return state.journal.nextSequence()
        }
    }

    /// Starts a reader behind `position`; nil for the beginning.
    package func subscribe(after position: EventSequence? = nil) -> EventSubscription {
        let subscription = EventSubscription(log: self, position: position ?? EventSequence(rawValue: 0))
        self.state.withLock { state in
            state.readers += 1
            state.awaited.removeAll { $0 == Self.expectedReader }
            state.awaited.append(ObjectIdentifier(subscription))
        }
        return subscription
    }

    /// Readers that have not closed.
    package var readerCount: Int { self.state.withLock { $0.readers } }

    fileprivate func read(
        after position: EventSequence, reader: ObjectIdentifier, comesBack: Bool,
        orWake wake: @escaping @Sendable () -> Void
    ) -> [SequencedEvent] {
        self.state.withLock { state in
            let entries = Array(state.journal.entries(after: position))
            state.forget(reader)
            if comesBack, !entries.isEmpty { state.awaited.append(reader) }
            if entries.isEmpty, state.journal.terminal == nil {
                state.waiting.append(WaitingReader(id: reader, wake: wake))
            }
            return entries
        }
    }

    fileprivate func pause(reader: ObjectIdentifier) { self.state.withLock { $0.forget(reader) } }

    /// - Returns: whether no reader is left.
    fileprivate func close(reader: ObjectIdentifier) -> Bool {
        self.state.withLock { state in
            state.forget(reader)
            state.readers -= 1
            return state.readers == 0
        }
    }
}

/// Whether some client has had all of a job. Outlives the log.
package final class DeliveryMark: Sendable {
    private let state = Atomic<Bool>(false)

    package init() {}

    package var isSet: Bool { self.state.load(ordering: .relaxed) }
    package func set() { self.state.store(true, ordering: .relaxed) }
}

/// One reader's place in a log. Used from one thread at a time.
package final class EventSubscription: Sendable {
    package let log: EventLog
    private let state: Mutex<State>

    private struct State {
        var position: EventSequence
        var closed = false
    }

    fileprivate init(log: EventLog, position: EventSequence) {
        self.log = log
        self.state = Mutex(State(position: position))
    }

    /// Takes what is there, oldest first. When nothing is, `wake` is called once something may be, from whichever thread
    /// writes it; after the terminal event nothing more comes and `wake` is never called.
    ///
    /// - Parameter comesBack: the reader reads again as soon as it has dealt with these, or calls ``pause()``: until then nothing that
    ///   comes meanwhile is superseded for it.
    package func read(
        comesBack: Bool = false, orWake wake: @escaping @Sendable () -> Void
    ) -> [SequencedEvent] {
        let position = self.state.withLock { $0.position }
        let events = self.log.read(
            after: position, reader: ObjectIdentifier(self), comesBack: comesBack, orWake: wake)
        if let last = events.last { self.state.withLock { $0.position = max($0.position, last.sequence) } }
        return events
    }

    /// A number for an event that is sent to this reader alone and not kept; nil once the job is over, and while there is something unread.
    /// - Parameter progress: what that event shows. No later event shows less.
    package func reserveSequence(progress: Int = 0) -> EventSequence? {
        self.log.reserveSequence(after: self.state.withLock { $0.position }, progress: progress)
    }

    /// The reader's client is slow: until it reads again, newer previews supersede older ones.
    package func pause() { self.log.pause(reader: ObjectIdentifier(self)) }

    /// Ends the reader. Idempotent.
    /// - Returns: whether this call ended the log's last reader.
    @discardableResult
    package func close() -> Bool {
        let first = self.state.withLock { state in
            defer { state.closed = true }
            return !state.closed
        }
        return first && self.log.close(reader: ObjectIdentifier(self))
    }

    deinit { self.close() }
}
