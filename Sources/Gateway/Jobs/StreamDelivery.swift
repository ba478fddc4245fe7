import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import NIOHTTPTypes
import Storage

/// One client tailing one job: subscription → encoder → channel, with heartbeats and derived progress between.
///
/// Runs on the client channel's event loop without a task of its own: an event in the log wakes it, it writes until the window
/// is full, the end of a write wakes it again. What waits to be written is bounded by the window plus one batch of events.
final class StreamDelivery: Sendable {
    struct Terms: Sendable {
        var traits: DialectTraits
        /// Silence after which a heartbeat is written.
        var heartbeat: TimeAmount
        var heartbeatBytes: ByteBuffer
        /// See ``DerivedProgress``; milliseconds.
        var median: Int
        var now: @Sendable () -> Timestamp
        var createdAt: Timestamp
        /// Name of the upstream that works for the job.
        var upstream: String
    }

    /// Where a stream begins that does not begin at the job's first event.
    struct Resumption: Sendable {
        /// Where the client stands: progress goes on from there.
        var stage: Stage
        var progress: Int
        /// Told first, where the history in between is gone.
        var gap: LogGap?
    }

    enum End: Sendable {
        /// The terminal event is written.
        case finished
        case clientGone
        /// The gateway ended the stream before the job's end.
        case interrupted
    }

    /// Bytes given to the channel and not yet taken by the kernel.
    private static let window = 256 << 10
    /// A larger buffer goes out in slices, so that memory is freed as the client takes it.
    private static let slice = 64 << 10

    private struct State {
        var encoder: any DialectEncoder
        var output: FrameOutput
        var pending = CircularBuffer<ByteBuffer>()
        var leases: [PayloadLease] = []
        var outstanding = 0
        var sawTerminal = false
        var interruption: GatewayError?
        var end: End?
        var isPumping = false
        var lastWrite: NIODeadline
        var heartbeat: Scheduled<Void>?
        var progress: Scheduled<Void>?
        var stage = Stage.queued
        var stageSince: NIODeadline
        var shownProgress = 0
        var wake: @Sendable () -> Void = {}

        var hasRoomAndMore: Bool {
            self.end == nil && !self.pending.isEmpty && self.outstanding < StreamDelivery.window
        }

        mutating func encode(_ event: SequencedEvent) {
            self.encoder.encode(event, into: &self.output)
        }

        mutating func encode(_ gap: LogGap) {
            self.encoder.encode(gap, into: &self.output)
        }

        mutating func encodeInterruption(_ error: GatewayError) {
            self.encoder.encodeInterruption(error, into: &self.output)
        }
    }

    private let subscription: EventSubscription
    private let channel: any Channel
    private let terms: Terms
    private let state: NIOLoopBoundBox<State>
    private let ended: EventLoopPromise<End>

    /// Must be made on the channel's event loop.
    init(
        subscription: EventSubscription, encoder: any DialectEncoder, channel: any Channel, terms: Terms,
        asciiOnly: Bool, resumption: Resumption? = nil
    ) {
        self.subscription = subscription
        self.channel = channel
        self.terms = terms
        let now = channel.eventLoop.now
        self.state = NIOLoopBoundBox(
            State(
                encoder: encoder, output: FrameOutput(asciiOnly: asciiOnly), lastWrite: now, stageSince: now),
            eventLoop: channel.eventLoop)
        self.ended = channel.eventLoop.makePromise(of: End.self)
        let eventLoop = channel.eventLoop
        self.state.value.wake = { [weak self] in
            guard let self else { return }
            eventLoop.execute { self.pump() }
        }
        if let resumption { self.begin(resumption) }
    }

    private func begin(_ resumption: Resumption) {
        self.state.value.stage = resumption.stage
        self.state.value.shownProgress = resumption.progress
        guard let gap = resumption.gap else { return }
        self.state.value.encode(gap)
        self.takeOutput()
    }

    /// Writes the response: its head, events until the job, the client or the gateway ends the stream, its end. Head and first
    /// event leave in one write, and so do the last event and the end. Called on the event loop, once.
    @discardableResult
    func run(head: HTTPResponse, connection: ClientConnection) async -> End {
        self.channel.write(HTTPResponsePart.head(head), promise: nil)
        connection.onGone { [weak self] in
            guard let self else { return }
            self.channel.eventLoop.execute { self.finish(.clientGone) }
        }
        self.scheduleHeartbeat()
        self.pump()
        let end = (try? await self.ended.futureResult.get()) ?? .clientGone
        connection.onGone(nil)
        return end
    }

    /// Ends the stream before the job's end, from any thread.
    func interrupt(_ error: GatewayError) {
        self.channel.eventLoop.execute {
            guard self.state.value.end == nil, self.state.value.interruption == nil else { return }
            self.state.value.interruption = error
            self.pump()
        }
    }

    // MARK: Events

    private func pump() {
        guard self.state.value.end == nil, !self.state.value.isPumping else { return }
        self.state.value.isPumping = true
        defer { self.state.value.isPumping = false }
        repeat {
            if self.fillWindow() { self.channel.flush() }
            // A flush that the kernel takes at once ends its writes before it returns: there is room again.
        } while self.state.value.hasRoomAndMore
    }

    /// - Returns: whether anything was given to the channel.
    private func fillWindow() -> Bool {
        var wrote = false
        while self.state.value.end == nil {
            wrote = self.writePending() || wrote
            guard self.state.value.pending.isEmpty else { break }
            if self.state.value.sawTerminal {
                self.finishResponse(.finished)
            } else if let error = self.state.value.interruption {
                self.encodeInterruption(error)
                if self.state.value.pending.isEmpty { self.finishResponse(.interrupted) }
            } else {
                let events = self.subscription.read(orWake: self.state.value.wake)
                guard !events.isEmpty else { break }
                self.encode(events)
            }
        }
        return wrote
    }

    private func encode(_ events: [SequencedEvent]) {
        let isolated = self.terms.traits.isolatedWrites
        for event in events {
            self.state.value.encode(event)
            if isolated {
                self.takeOutput()
                _ = self.writePending()
                self.channel.flush()
            }
            self.note(event)
        }
        self.takeOutput()
        self.scheduleProgress()
    }

    private func encodeInterruption(_ error: GatewayError) {
        guard !self.terms.traits.resumable else { return }
        self.state.value.encodeInterruption(error)
        self.takeOutput()
        self.state.value.sawTerminal = true
    }

    private func note(_ event: SequencedEvent) {
        if event.stage > self.state.value.stage {
            self.state.value.stage = event.stage
            self.state.value.stageSince = self.channel.eventLoop.now
        }
        self.state.value.shownProgress = max(self.state.value.shownProgress, event.progress)
        if event.event.isTerminal { self.state.value.sawTerminal = true }
    }

    // MARK: Writing

    private func takeOutput() {
        guard !self.state.value.output.isEmpty else { return }
        let (pieces, leases) = self.state.value.output.take()
        self.state.value.leases += leases
        for piece in pieces {
            var rest = piece
            while rest.readableBytes > Self.slice, let slice = rest.readSlice(length: Self.slice) {
                self.state.value.pending.append(slice)
            }
            if rest.readableBytes > 0 { self.state.value.pending.append(rest) }
        }
    }

    /// - Returns: whether anything was given to the channel; flushing is the caller's.
    private func writePending() -> Bool {
        var wrote = false
        while self.state.value.outstanding < Self.window, let piece = self.state.value.pending.popFirst() {
            self.write(piece)
            wrote = true
        }
        return wrote
    }

    private func write(_ piece: ByteBuffer) {
        let count = piece.readableBytes
        self.state.value.outstanding += count
        self.state.value.lastWrite = self.channel.eventLoop.now
        let written = self.channel.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { result in self.wrote(count, result) }
        self.channel.write(HTTPResponsePart.body(piece), promise: written)
    }

    private func wrote(_ count: Int, _ result: Result<Void, any Error>) {
        self.state.value.outstanding -= count
        if case .failure = result { return self.finish(.clientGone) }
        if self.state.value.outstanding == 0, self.state.value.pending.isEmpty { self.state.value.leases = [] }
        if self.state.value.outstanding <= Self.window / 2 { self.pump() }
    }

    /// The end of the response goes out behind what is written; the channel's handler flushes it.
    private func finishResponse(_ end: End) {
        self.channel.write(HTTPResponsePart.end(nil), promise: nil)
        self.finish(end)
    }

    private func finish(_ end: End) {
        guard self.state.value.end == nil else { return }
        self.state.value.end = end
        self.state.value.heartbeat?.cancel()
        self.state.value.progress?.cancel()
        self.state.value.wake = {}
        self.state.value.pending.removeAll()
        self.ended.succeed(end)
    }

    // MARK: Between events

    private func scheduleHeartbeat() {
        guard self.state.value.end == nil else { return }
        let due = self.state.value.lastWrite + self.terms.heartbeat
        self.state.value.heartbeat = self.channel.eventLoop.assumeIsolated().scheduleTask(deadline: due) {
            [weak self] in
            self?.heartbeatDue()
        }
    }

    private func heartbeatDue() {
        guard self.state.value.end == nil, !self.state.value.sawTerminal else { return }
        let isSilent = self.channel.eventLoop.now >= self.state.value.lastWrite + self.terms.heartbeat
        if isSilent, self.state.value.pending.isEmpty, self.state.value.outstanding == 0 {
            self.write(self.terms.heartbeatBytes)
            self.channel.flush()
        } else if isSilent {
            // The client takes nothing; the write-stall deadline decides about it.
            self.state.value.lastWrite = self.channel.eventLoop.now
        }
        self.scheduleHeartbeat()
    }

    /// Wakes when derived progress next rises by a whole percent, at most once a second.
    private func scheduleProgress() {
        self.state.value.progress?.cancel()
        self.state.value.progress = nil
        guard self.state.value.end == nil, !self.state.value.sawTerminal else { return }
        let derived = DerivedProgress(stage: self.state.value.stage, median: self.terms.median)
        guard let rise = derived.nextRise(above: self.state.value.shownProgress) else { return }
        let due = max(
            self.state.value.stageSince + .milliseconds(Int64(rise)), self.channel.eventLoop.now + .seconds(1))
        self.state.value.progress = self.channel.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [weak self] in
            self?.progressDue()
        }
    }

    private func progressDue() {
        guard self.state.value.end == nil, !self.state.value.sawTerminal else { return }
        let inStage = self.channel.eventLoop.now - self.state.value.stageSince
        let derived = DerivedProgress(stage: self.state.value.stage, median: self.terms.median)
        let value = derived.value(after: Int(inStage.nanoseconds / 1_000_000))
        if value > self.state.value.shownProgress, self.state.value.outstanding == 0 {
            self.tellProgress(value)
        }
        self.scheduleProgress()
    }

    /// Not kept in the log; it takes a number of its own so that ids rise for this reader too.
    private func tellProgress(_ value: Int) {
        guard let sequence = self.subscription.log.reserveSequence(progress: value) else { return }
        self.state.value.shownProgress = value
        let now = self.terms.now()
        let change = StageChange(
            message: "Still \(self.state.value.stage.name).",
            elapsedMilliseconds: Int(now.milliseconds - self.terms.createdAt.milliseconds),
            upstream: self.terms.upstream)
        let event = SequencedEvent(
            sequence: sequence, at: now, stage: self.state.value.stage, progress: value, event: .stage(change))
        self.state.value.encode(event)
        self.takeOutput()
        if self.writePending() { self.channel.flush() }
    }
}
