import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import NIOHTTPTypes
import Storage

/// Subscription → encoder → channel, with heartbeats and derived progress between. Lives on the client channel's event loop and
/// is touched there only; ``StreamDelivery`` is how others reach it.
///
/// It has no task of its own: an event in the log wakes it, it writes until the window is full, the end of a write wakes it again.
/// What waits to be written is bounded by the window plus one batch of events.
final class StreamWriter: TimerWheelTarget {
    /// Bytes given to the channel and not yet taken by the kernel.
    private static let window = 256 << 10
    /// A larger buffer goes out in slices, so that memory is freed as the client takes it.
    private static let slice = 64 << 10
    /// Bytes after which the end of a write is asked for.
    private static let promised = 128 << 10
    /// About what an event takes besides its payload.
    private static let expectedEventBytes = 512
    /// How long head and first event wait for what follows them at once: a fast upstream's answer then leaves in the same write.
    /// No person sees it; with the wheel's tick they are told after 9 ms at the latest, where 50 are promised.
    private static let heldFor = TimeAmount.milliseconds(4)
    /// Derived progress of many streams is told together, and so are their heartbeats: the wheel looks through all moments for which
    /// it has timers. In nanoseconds.
    private static let progressStep: UInt64 = 100_000_000
    private static let heartbeatStep: UInt64 = 25_000_000

    private let subscription: EventSubscription
    private let channel: any Channel
    private let terms: StreamDelivery.Terms
    private let wake: @Sendable () -> Void
    private let ended: EventLoopPromise<StreamDelivery.End>

    private var encoder: any DialectEncoder
    private var output: FrameOutput
    private var pending = CircularBuffer<PendingPiece>()
    /// A displaced payload's next bytes are being read.
    private var isFetching = false
    /// Takes framed bytes; nil where they go through the channel as response parts.
    private var direct: ConnectionHandler?
    /// Payloads of what the kernel has not taken yet, each with where its batch ends, counted from the first byte.
    private var leases = CircularBuffer<(end: Int, lease: PayloadLease)>()
    /// Where the last batch ends, and how far the kernel has taken.
    private var batchEnd = 0
    private var taken = 0
    /// Set while the client takes nothing of what is held for it; made when that first happens.
    private var stall: StallMark?
    private let connection: ClientConnection
    private var outstanding = 0
    /// Bytes written since the last promise.
    private var unpromised = 0
    private var lastWrite: NIODeadline
    private let timers: TimerWheel
    /// The one timer that runs, and when it fires. One that fires early looks again.
    private var timer: (token: TimerWheel.Token, at: NIODeadline)?
    /// What is written so far may wait until then.
    private var heldUntil: NIODeadline?
    /// When derived progress is looked at next; nil: it rises no more in this stage.
    private var progressAt: NIODeadline?
    private var stage = Stage.queued
    private var stageSince: NIODeadline
    private var shownProgress = 0
    private var sawTerminal = false
    /// The terminal that the client sees is of this response, not of the job.
    private var wasInterrupted = false
    private var interruption: GatewayError?
    private var end: StreamDelivery.End?
    private var isPumping = false

    private enum PendingPiece {
        case bytes(ByteBuffer)
        /// The rest of a payload that is not in memory.
        case displaced(any DisplacedPayload, Range<Int>)
    }

    /// - Parameter wake: makes the event loop call ``pump()``, from any thread.
    init(
        subscription: EventSubscription, encoder: any DialectEncoder, channel: any Channel,
        terms: StreamDelivery.Terms, connection: ClientConnection, ended: EventLoopPromise<StreamDelivery.End>,
        wake: @escaping @Sendable () -> Void
    ) {
        self.subscription = subscription
        self.channel = channel
        self.terms = terms
        self.wake = wake
        self.ended = ended
        self.encoder = encoder
        self.connection = connection
        self.direct = connection.directBody
        self.output = FrameOutput(
            asciiOnly: terms.traits.isolatedWrites, isChunked: connection.directBody != nil && !connection.isHTTP10)
        self.timers = connection.timers
        let now = channel.eventLoop.now
        self.lastWrite = now
        self.stageSince = now
        self.progressAt = now + .seconds(1)
    }

    private var hasRoomAndMore: Bool {
        self.end == nil && !self.pending.isEmpty && self.outstanding < Self.window && !self.isFetching
    }

    /// Called before ``begin(_:)``.
    func resume(_ resumption: StreamDelivery.Resumption) {
        self.stage = resumption.stage
        self.shownProgress = resumption.progress
        guard let gap = resumption.gap else { return }
        self.output.begin(expecting: Self.expectedEventBytes)
        self.encoder.encode(gap, into: &self.output)
        self.takeOutput()
    }

    func begin(_ head: HTTPResponse) {
        if let direct = self.direct {
            direct.writeHead(head)
        } else {
            self.channel.write(HTTPResponsePart.head(head), promise: nil)
        }
        self.heldUntil = self.channel.eventLoop.now + Self.heldFor
        self.isPumping = true
        let wrote = self.fillWindow()
        self.isPumping = false
        if wrote, self.outstanding >= Self.slice {
            self.flush()
            self.pump()
        }
        self.arm()
    }

    func interrupt(_ error: GatewayError) {
        guard self.end == nil, self.interruption == nil else { return }
        self.interruption = error
        self.pump()
    }

    // MARK: Events

    func pump() {
        guard self.end == nil, !self.isPumping else { return }
        self.isPumping = true
        defer { self.isPumping = false }
        repeat {
            // The end of the response has flushed what was before it.
            if self.fillWindow(), self.end == nil { self.flush() }
            // A flush that the kernel takes at once ends its writes before it returns: there is room again.
        } while self.hasRoomAndMore
        if self.outstanding > 0, !self.leases.isEmpty, self.stall?.isSet != true { self.noteStall() }
    }

    /// The client takes nothing of what is held for it: it may have to give way.
    private func noteStall() {
        guard self.outstanding > 0, !self.leases.isEmpty else {
            self.stall?.clear()
            return
        }
        if self.stall == nil {
            self.stall = self.terms.budget.map { budget in
                StallMark(budget) { [weak connection = self.connection] in connection?.abort() }
            }
        }
        self.stall?.set(holding: self.leases.reduce(0) { $0 + $1.lease.bytes })
    }

    /// - Returns: whether anything was given to the channel.
    private func fillWindow() -> Bool {
        var wrote = false
        while self.end == nil {
            wrote = self.writePending() || wrote
            guard self.pending.isEmpty, !self.isFetching else {
                self.subscription.pause()
                break
            }
            if self.sawTerminal {
                self.finishResponse(self.wasInterrupted ? .interrupted : .finished)
            } else if let error = self.interruption {
                self.encodeInterruption(error)
                if self.pending.isEmpty { self.finishResponse(.interrupted) }
            } else {
                let events = self.subscription.read(comesBack: true, orWake: self.wake)
                guard !events.isEmpty else { break }
                self.encode(events)
            }
        }
        return wrote
    }

    private func encode(_ events: [SequencedEvent]) {
        let isolated = self.terms.traits.isolatedWrites
        if !isolated { self.output.begin(expecting: events.count * Self.expectedEventBytes) }
        for event in events {
            if isolated { self.output.begin(expecting: Self.expectedEventBytes) }
            self.encoder.encode(event, into: &self.output)
            if isolated {
                self.takeOutput()
                _ = self.writePending()
                self.flush()
            }
            self.note(event)
        }
        self.takeOutput()
    }

    private func encodeInterruption(_ error: GatewayError) {
        guard !self.terms.traits.resumable else { return }
        self.output.begin(expecting: Self.expectedEventBytes)
        self.encoder.encodeInterruption(error, into: &self.output)
        self.takeOutput()
        self.wasInterrupted = !self.sawTerminal
        self.sawTerminal = true
    }

    private func note(_ event: SequencedEvent) {
        if event.stage > self.stage {
            self.stage = event.stage
            self.stageSince = self.channel.eventLoop.now
            // The next rise was reckoned for the stage before.
            self.progressAt = self.stageSince + .seconds(1)
            if self.heldUntil == nil { self.arm() }
        }
        self.shownProgress = max(self.shownProgress, event.progress)
        if event.event.isTerminal { self.sawTerminal = true }
    }

    // MARK: Writing

    private func takeOutput() {
        guard !self.output.isEmpty else { return }
        let leases = self.output.leases
        self.output.drain { piece in
            self.batchEnd += piece.count
            switch piece {
            case .displaced(let payload):
                self.pending.append(.displaced(payload, 0..<payload.base64Count))
            case .bytes(var rest):
                while rest.readableBytes > Self.slice, let slice = rest.readSlice(length: Self.slice) {
                    self.pending.append(.bytes(slice))
                }
                if rest.readableBytes > 0 { self.pending.append(.bytes(rest)) }
            }
        }
        for lease in leases { self.leases.append((self.batchEnd, lease)) }
    }

    /// - Returns: whether anything was given to the channel; flushing is the caller's.
    private func writePending() -> Bool {
        var wrote = false
        while self.outstanding < Self.window, !self.isFetching, let piece = self.pending.popFirst() {
            switch piece {
            case .bytes(let bytes):
                self.write(bytes)
                wrote = true
            case .displaced(let payload, let range):
                self.fetch(payload, range)
            }
        }
        return wrote
    }

    /// Reads the next bytes of a payload that is not in memory; nothing behind it is written before.
    private func fetch(_ payload: any DisplacedPayload, _ range: Range<Int>) {
        self.isFetching = true
        let next = range.lowerBound..<min(range.lowerBound + Self.slice, range.upperBound)
        let read = self.channel.eventLoop.makeFutureWithTask { try await payload.read(next) }
        read.assumeIsolated().whenComplete { result in
            self.isFetching = false
            guard self.end == nil else { return }
            switch result {
            case .success(let bytes):
                if next.upperBound < range.upperBound {
                    self.pending.prepend(.displaced(payload, next.upperBound..<range.upperBound))
                }
                self.write(bytes)
                self.flush()
                self.pump()
            case .failure:
                // In the middle of a frame there is no other way to say so.
                self.connection.abort()
                self.finish(.clientGone)
            }
        }
    }

    /// The end of a write is asked for where much has been written, and behind the last piece there is: writes end in order.
    private func write(_ piece: ByteBuffer) {
        let count = piece.readableBytes
        self.outstanding += count
        self.unpromised += count
        self.lastWrite = self.channel.eventLoop.now
        var written: EventLoopPromise<Void>?
        if self.unpromised >= Self.promised || self.pending.isEmpty {
            let promise = self.channel.eventLoop.makePromise(of: Void.self)
            let group = self.unpromised
            self.unpromised = 0
            promise.futureResult.assumeIsolated().whenComplete { result in self.wrote(group, result) }
            written = promise
        }
        if let direct = self.direct {
            direct.writeBody(piece, promise: written)
        } else {
            self.channel.write(HTTPResponsePart.body(piece), promise: written)
        }
    }

    private func flush() {
        self.heldUntil = nil
        if let direct = self.direct { direct.flushBody() } else { self.channel.flush() }
    }

    private func wrote(_ count: Int, _ result: Result<Void, any Error>) {
        self.outstanding -= count
        if case .failure = result { return self.finish(.clientGone) }
        self.taken += count
        while let first = self.leases.first, first.end <= self.taken { self.leases.removeFirst() }
        if self.stall?.isSet == true { self.noteStall() }
        if self.outstanding <= Self.window / 2 { self.pump() }
    }

    /// The end of the response goes out behind what is written; the channel's handler flushes it.
    private func finishResponse(_ end: StreamDelivery.End) {
        if let direct = self.direct {
            direct.writeEnd()
        } else {
            self.channel.write(HTTPResponsePart.end(nil), promise: nil)
        }
        self.finish(end)
    }

    func finish(_ end: StreamDelivery.End) {
        guard self.end == nil else { return }
        self.end = end
        self.disarm()
        self.direct = nil
        self.pending.removeAll()
        // What the channel has of the last event is held until the client takes it.
        if case .clientGone = end { self.stall?.clear() } else { self.noteStall() }
        self.ended.succeed(end)
    }

    // MARK: Between events

    /// Sets the timer for whatever is due first, unless it fires early enough already.
    private func arm() {
        guard self.end == nil else { return }
        var due = Self.roundedUp(self.lastWrite + self.terms.heartbeat, to: Self.heartbeatStep)
        if let progressAt = self.progressAt { due = min(due, progressAt) }
        if let heldUntil = self.heldUntil { due = min(due, heldUntil) }
        if let timer = self.timer, timer.at <= due { return }
        self.disarm()
        self.timer = (self.timers.add(self, at: due), due)
    }

    private func disarm() {
        if let timer = self.timer { self.timers.remove(timer.token) }
        self.timer = nil
    }

    func timerFired() {
        let now = self.channel.eventLoop.now
        guard let timer = self.timer, timer.at <= now else { return }
        self.timer = nil
        guard self.end == nil, !self.sawTerminal else { return }
        if let heldUntil = self.heldUntil, heldUntil <= now { self.flush() }
        if let progressAt = self.progressAt, progressAt <= now { self.progressDue(now) }
        if self.lastWrite + self.terms.heartbeat <= now { self.heartbeatDue(now) }
        self.arm()
    }

    private func heartbeatDue(_ now: NIODeadline) {
        guard self.pending.isEmpty, self.outstanding == 0, !self.isFetching else {
            // The client takes nothing; the write-stall deadline decides about it.
            self.lastWrite = now
            return
        }
        let bytes = self.terms.traits.heartbeat(self.terms.heartbeatStyle)
        self.output.begin(expecting: bytes.readableBytes)
        self.output.splice(bytes)
        self.takeOutput()
        if self.writePending() { self.flush() }
    }

    /// Tells derived progress where it has risen by a whole percent, and reckons when it rises next: at most once a second.
    private func progressDue(_ now: NIODeadline) {
        let derived = DerivedProgress(stage: self.stage, median: self.terms.median)
        let value = derived.value(after: Int((now - self.stageSince).nanoseconds / 1_000_000))
        if value > self.shownProgress, self.outstanding == 0, !self.isFetching { self.tellProgress(value) }
        guard let rise = derived.nextRise(above: self.shownProgress) else {
            self.progressAt = nil
            return
        }
        let due = max(self.stageSince + .milliseconds(Int64(rise)), now + .seconds(1))
        self.progressAt = Self.roundedUp(due, to: Self.progressStep)
    }

    private static func roundedUp(_ deadline: NIODeadline, to step: UInt64) -> NIODeadline {
        .uptimeNanoseconds((deadline.uptimeNanoseconds + step - 1) / step * step)
    }

    /// Not kept in the log; it takes a number of its own so that ids rise for this reader too.
    private func tellProgress(_ value: Int) {
        guard let sequence = self.subscription.reserveSequence(progress: value) else { return }
        self.shownProgress = value
        let now = self.terms.now()
        let change = StageChange(
            message: "Still \(self.stage.name).",
            elapsedMilliseconds: Int(now.milliseconds - self.terms.createdAt.milliseconds),
            upstream: self.terms.upstream)
        let event = SequencedEvent(
            sequence: sequence, at: now, stage: self.stage, progress: value, event: .stage(change))
        self.output.begin(expecting: Self.expectedEventBytes)
        self.encoder.encode(event, into: &self.output)
        self.takeOutput()
        if self.writePending() { self.flush() }
    }
}
