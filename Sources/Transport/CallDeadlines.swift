/// The limits of one call by phase, as points in time. Times are nanoseconds of the monotonic clock.
struct CallDeadlines {
    private enum Phase { case connecting, waiting, receiving }

    private let connect: UInt64?
    private let firstByte: UInt64?
    private let idle: UInt64?
    private let total: UInt64?
    private var phase = Phase.connecting
    /// When the phase began or last made progress.
    private var mark: UInt64
    /// We read nothing: the silence is ours.
    private var isPaused = false

    init(_ timeouts: UpstreamTimeouts, now: UInt64) {
        self.connect = timeouts.connect.map { now.advanced(by: $0) }
        self.firstByte = timeouts.firstByte?.nanosecondsClamped
        self.idle = timeouts.idle?.nanosecondsClamped
        self.total = timeouts.total.map { now.advanced(by: $0) }
        self.mark = now
    }

    /// The connection stands and the request begins to leave. After a retry on another connection it comes again.
    mutating func connected(now: UInt64) {
        guard self.phase != .receiving else { return }
        self.phase = .waiting
        self.mark = now
    }

    /// A piece of the request was taken: the wait for the response starts anew, so that it runs from the last piece.
    mutating func sentRequestPiece(now: UInt64) {
        guard self.phase == .waiting else { return }
        self.mark = now
    }

    mutating func receivedHead(now: UInt64) {
        self.phase = .receiving
        self.mark = now
    }

    mutating func receivedPiece(now: UInt64) {
        self.mark = now
    }

    mutating func pause() { self.isPaused = true }

    mutating func resume(now: UInt64) {
        self.isPaused = false
        self.mark = now
    }

    /// The deadline that comes first, and what it means to miss it.
    var next: (time: UInt64, reason: UpstreamFailure.Reason)? {
        let ofPhase: (time: UInt64, reason: UpstreamFailure.Reason)? =
            switch self.phase {
            case .connecting: self.connect.map { ($0, .connectTimeout) }
            case .waiting: self.firstByte.map { (self.mark.addingClamped($0), .firstByteTimeout) }
            case .receiving where self.isPaused: nil
            case .receiving: self.idle.map { (self.mark.addingClamped($0), .idleTimeout) }
            }
        guard let total = self.total else { return ofPhase }
        guard let ofPhase, ofPhase.time <= total else { return (total, .totalTimeout) }
        return ofPhase
    }
}

extension Duration {
    /// Whole nanoseconds, 0 for a negative duration, at most ~292 years.
    var nanosecondsClamped: UInt64 {
        let (seconds, attoseconds) = self.components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        guard seconds < Int64.max / 1_000_000_000 - 1 else { return UInt64(Int64.max) }
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}

extension UInt64 {
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    func advanced(by duration: Duration) -> UInt64 { self.addingClamped(duration.nanosecondsClamped) }
}
