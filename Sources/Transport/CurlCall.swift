import CCurl
import HTTPTypes
import NIOCore

/// One call from `send` to its end. Touched on its transport thread only.
final class CurlCall {
    let id: UpstreamCallID
    let session: SessionState
    let request: UpstreamCall
    let route: CallRoute
    let headerList: CurlStringList
    private(set) var addressList: CurlStringList?
    private(set) var body: RequestBodyReader
    private let receiver: any UpstreamReceiver
    private let loop: TransportLoop

    /// The receiver hears no more of it.
    private(set) var isOver = false
    var attachment: Attachment?
    private var isDisposed = false
    /// The receiver takes no bytes for now.
    private(set) var isPaused = false
    private var openLookups = 0
    /// Set when a name did not resolve; the call then ends where it would have started.
    var lookupFailure: String?
    /// Set when what it resolved to may not be connected to.
    private(set) var addressRefusal: String?
    /// The only addresses that a guarded call may be connected to.
    private var vetted: [AddressBits] = []
    private var gate: UnsafeMutablePointer<ccurl_socket_gate>?

    private var deadlines: CallDeadlines
    private var timer: (token: TimerHeap<TimerTarget>.Token, time: UInt64)?
    private var head = ResponseHeadParser()
    private var receivedBytes = 0
    private var attempts = 0
    /// Why we made libcurl give up.
    private var refusal: (reason: UpstreamFailure.Reason, detail: String)?

    struct Attachment {
        let easy: CurlEasyHandle
        let shard: CurlShard
    }

    init(
        _ request: UpstreamCall, id: UpstreamCallID, route: CallRoute, session: SessionState,
        receiver: any UpstreamReceiver, loop: TransportLoop
    ) {
        self.id = id
        self.session = session
        self.request = request
        self.route = route
        self.headerList = route.headerList(request.headers)
        self.body = RequestBodyReader(request.body)
        self.receiver = receiver
        self.loop = loop
        self.deadlines = CallDeadlines(request.timeouts, now: loop.now)
        loop.counters.openCalls.increase()
        self.armTimer()
    }

    // MARK: Names

    var isResolved: Bool { self.openLookups == 0 }

    func lookupStarted() { self.openLookups += 1 }

    func lookupEnded() { self.openLookups -= 1 }

    func addAddresses(_ addresses: String, of end: UpstreamOrigin) {
        guard let addresses = self.vet(addresses, of: end) else { return }
        let list = self.addressList ?? CurlStringList()
        // "+" lets libcurl drop the entry in time.
        list.append("+\(end.host):\(end.port):\(addresses)")
        self.addressList = list
    }

    /// An address that stands in the URL itself.
    func vetNumericHost() {
        let origin = self.route.origin
        if origin.isNumeric { _ = self.vet(origin.host, of: origin) }
    }

    /// Those of a comma-separated list that the call may be connected to; nil where none is.
    private func vet(_ addresses: String, of end: UpstreamOrigin) -> String? {
        let policy = self.request.connection.addresses
        guard policy.isGuarded else { return addresses }
        var admitted: [Substring] = []
        for text in addresses.split(separator: ",") {
            let bare = text.hasPrefix("[") && text.hasSuffix("]") ? text.dropFirst().dropLast() : text
            guard let address = AddressBits(String(bare)), policy.admits(address) else { continue }
            self.vetted.append(address)
            admitted.append(text)
        }
        guard admitted.isEmpty else { return admitted.joined(separator: ",") }
        self.addressRefusal = "\(end.host) leads to \(addresses)"
        return nil
    }

    /// Asked before a socket is made: whatever libcurl was told, it connects to a vetted address or to none.
    func mayConnect(to address: String) -> Bool {
        guard let address = AddressBits(address) else { return false }
        return self.request.connection.addresses.admits(address) && self.vetted.contains(address)
    }

    /// Sockets of a guarded call are made through this. Lives as long as the call.
    func openGate(_ observer: UnsafeMutablePointer<ccurl_socket_observer>) -> UnsafeMutablePointer<ccurl_socket_gate> {
        let gate = self.gate ?? .allocate(capacity: 1)
        gate.initialize(
            to: ccurl_socket_gate(
                observer: observer, context: Unmanaged.passUnretained(self).toOpaque(),
                check: CurlCallbacks.addressCheck))
        self.gate = gate
        return gate
    }

    deinit { self.gate?.deallocate() }

    // MARK: End

    /// Ends the call without a word: cancelled, or about to be reported by the caller.
    func abandon() {
        guard !self.isOver else { return }
        self.isOver = true
        self.session.calls.removeValue(forKey: self.id)
        if let timer = self.timer.take() { self.loop.timers.remove(timer.token) }
        if self.attachment == nil { self.dispose() } else { self.loop.removeSoon(self) }
    }

    func fail(_ reason: UpstreamFailure.Reason, detail: String) {
        guard !self.isOver else { return }
        let failure = UpstreamFailure(reason, requestSent: self.requestMayHaveLeft, detail: detail)
        self.abandon()
        self.receiver.ended(call: self.id, failure: failure)
    }

    /// libcurl is done with the call. Its handle is given back before the receiver hears of it, so that what the
    /// receiver sends next may use it and the connection.
    func completed(_ code: CURLcode) {
        let failure = self.isOver ? nil : self.failure(for: code)
        self.loop.detach(self)
        guard !self.isOver else { return }
        self.abandon()
        self.receiver.ended(call: self.id, failure: failure)
    }

    /// Nothing of the call is left.
    func dispose() {
        guard !self.isDisposed else { return }
        self.isDisposed = true
        self.loop.counters.openCalls.decrease()
    }

    private func failure(for code: CURLcode) -> UpstreamFailure? {
        if let refusal = self.refusal {
            return UpstreamFailure(refusal.reason, requestSent: self.requestMayHaveLeft, detail: refusal.detail)
        }
        if code == CURLE_OK {
            guard !self.head.isComplete else { return nil }
            return UpstreamFailure(.truncated, requestSent: self.requestMayHaveLeft, detail: "no response")
        }
        let detail = self.attachment?.easy.detail(code) ?? ""
        let reason = UpstreamFailure.Reason(
            code, wasConnected: self.attempts > 0, hasHead: self.head.isComplete, detail: detail)
        return UpstreamFailure(reason, requestSent: self.requestMayHaveLeft, detail: detail)
    }

    /// In clear text libcurl's count tells whether the kernel took a byte. Under TLS a record may have left although
    /// the whole write was not counted.
    private var requestMayHaveLeft: Bool {
        guard self.attempts > 0, let easy = self.attachment?.easy else { return false }
        return self.route.isEncrypted || ccurl_easy_request_size(easy.raw) > 0
    }

    // MARK: Deadlines

    private func armTimer() {
        guard let next = self.deadlines.next else { return }
        if let timer = self.timer {
            // A later deadline is found out when the timer fires; moving it for each piece of data would cost more.
            guard next.time < timer.time else { return }
            self.loop.timers.move(timer.token, to: next.time)
            self.timer = (timer.token, next.time)
        } else {
            self.timer = (self.loop.timers.insert(.call(self), at: next.time), next.time)
        }
    }

    func timerFired() {
        self.timer = nil
        guard !self.isOver, let next = self.deadlines.next else { return }
        guard next.time <= self.loop.now else { return self.armTimer() }
        self.fail(next.reason, detail: "deadline passed")
    }

    // MARK: Pausing

    /// libcurl is told when it next brings bytes: it keeps those and stops reading.
    func pause() {
        guard !self.isOver else { return }
        self.isPaused = true
        self.deadlines.pause()
    }

    func resume() {
        guard self.isPaused, !self.isOver else { return }
        self.isPaused = false
        self.deadlines.resume(now: self.loop.now)
        self.armTimer()
        self.loop.continueSoon(self)
    }

    /// libcurl brings what it kept. Outside of its callbacks.
    func continueReading() {
        guard !self.isOver, !self.isPaused, let easy = self.attachment?.easy else { return }
        let code = easy.continueReading()
        if code != CURLE_OK, !self.isOver { self.completed(code) }
    }

    // MARK: From libcurl

    /// The connection stands, TLS and proxy included; the request leaves next. libcurl comes here again when a kept
    /// connection died under the request and it would try another: only a request that may be repeated, or of which no
    /// byte can have left, is let through. A submit never reaches an upstream twice.
    func connectionReady() -> Bool {
        guard !self.isOver else { return false }
        if self.attempts > 0, self.requestMayHaveLeft, !self.isRepeatable {
            self.refusal = (.truncated, "the connection died before the response; not sent again")
            return false
        }
        self.attempts += 1
        self.body.rewind()
        self.deadlines.connected(now: self.loop.now)
        self.armTimer()
        if self.attempts == 1 { self.receiver.sending(call: self.id) }
        return !self.isOver
    }

    private var isRepeatable: Bool {
        switch self.request.method {
        case .get, .head, .options, .trace: true
        default: false
        }
    }

    func received(headerLine: UnsafeRawBufferPointer) -> Bool {
        guard !self.isOver else { return false }
        switch self.head.consume(line: headerLine) {
        case .incomplete: return true
        case .malformed(let detail):
            self.refusal = (.malformed, detail)
            return false
        case .complete(let head):
            self.deadlines.receivedHead(now: self.loop.now)
            self.armTimer()
            self.receiver.received(head: head, call: self.id)
            return !self.isOver
        }
    }

    func received(piece: UnsafeRawBufferPointer) -> Bool {
        guard !self.isOver else { return false }
        self.receivedBytes += piece.count
        if let maximum = self.request.maximumResponseBytes, self.receivedBytes > maximum {
            self.refusal = (.tooLarge, "response body over \(maximum) bytes")
            return false
        }
        self.deadlines.receivedPiece(now: self.loop.lookAtClock())
        self.receiver.received(bytes: piece, call: self.id)
        return !self.isOver
    }

    func fill(_ target: UnsafeMutableRawBufferPointer) -> Int {
        guard !self.isOver else { return Int(CURL_READFUNC_ABORT) }
        self.deadlines.sentRequestPiece(now: self.loop.now)
        return self.body.read(into: target)
    }

    func rewindBody() { self.body.rewind() }
}
