import NIOCore

/// Where a connection stands between reading a request and writing its response, as a state machine; the channel handler
/// performs what it says.
struct ConnectionPhase: Sendable {
    enum Reading: Equatable {
        /// Between requests.
        case idle
        /// The first byte of a request came, its head is not complete.
        case head
        case body(received: Int)
        /// The request is whole.
        case whole
    }

    private(set) var reading = Reading.idle
    /// A request was handed on and its response is not written to the end.
    private(set) var isResponding = false
    private(set) var headWritten = false

    /// What the peer is late with once the deadline passes.
    enum Deadline: Equatable {
        case none
        case keepAlive
        case head
        case body(received: Int)
    }

    var deadline: Deadline {
        switch self.reading {
        case .idle: self.isResponding ? .none : .keepAlive
        case .head: self.isResponding ? .none : .head
        case .body(let received): .body(received: received)
        case .whole: .none
        }
    }

    /// The connection may answer in place of the request handling: nothing of a response is written yet that the request was
    /// read for.
    var canBeRefused: Bool {
        guard self.isResponding else { return true }
        if case .body = self.reading { return !self.headWritten }
        return false
    }

    /// A request's head was handed on, and nothing of its body has come.
    var awaitsBody: Bool { self.reading == .body(received: 0) && self.isResponding && !self.headWritten }

    /// Raw bytes came.
    /// - Returns: whether they begin a request.
    mutating func receivedBytes() -> Bool {
        guard self.reading == .idle else { return false }
        self.reading = .head
        return true
    }

    mutating func receivedHead() { self.reading = .body(received: 0) }

    mutating func receivedBody(_ bytes: Int) {
        guard case .body(let received) = self.reading else { return }
        self.reading = .body(received: received + bytes)
    }

    mutating func receivedEnd() { self.reading = .whole }

    mutating func handedOn() {
        self.isResponding = true
        self.headWritten = false
    }

    mutating func wroteHead() { self.headWritten = true }

    /// - Returns: whether the request was read to its end, so that the connection may carry another.
    mutating func wroteEnd() -> Bool {
        self.isResponding = false
        let whole = self.reading == .whole
        if whole { self.reading = .idle }
        return whole
    }
}
