import CCurl

/// One multi handle. libcurl walks the connections of a multi handle at the start and at the end of each call, so a
/// thread spreads many calls over several of bounded size: that keeps the cost of a call the same at 10 open calls and
/// at 5,000.
///
/// libcurl keeps a pair of sockets for each multi handle, so a shard costs two descriptors. Shards are kept once made: as many as
/// the most calls at once asked for.
final class CurlShard {
    /// Calls of one shard at a time.
    static let maximumCalls = 256

    let index: Int
    let multi: UnsafeMutableRawPointer
    private let loop: TransportLoop
    private let observer: UnsafeMutablePointer<ccurl_socket_observer>
    private var timer: TimerHeap<TimerTarget>.Token?
    private(set) var activeCalls = 0
    private(set) var openSockets = 0
    private(set) var watchedSockets = 0

    init?(index: Int, loop: TransportLoop) {
        guard let multi = curl_multi_init() else { return nil }
        self.index = index
        self.multi = multi
        self.loop = loop
        self.observer = .allocate(capacity: 1)
        let context = Unmanaged.passUnretained(self).toOpaque()
        self.observer.initialize(
            to: ccurl_socket_observer(
                context: context, opened: CurlCallbacks.socketOpened, closed: CurlCallbacks.socketClosed))
        ccurl_multi_set_callbacks(multi, context, CurlCallbacks.socket, CurlCallbacks.timer)
    }

    /// Closes every connection. All calls have been removed.
    func close() {
        curl_multi_cleanup(self.multi)
        self.observer.deallocate()
    }

    var idleConnections: Int { max(0, self.openSockets - self.watchedSockets) }

    func add(_ easy: CurlEasyHandle, for call: CurlCall) throws(CurlError) {
        try easy.check(ccurl_easy_set_socket_observer(easy.raw, self.observer))
        if call.request.connection.addresses.isGuarded {
            try easy.check(ccurl_easy_set_socket_gate(easy.raw, call.openGate(self.observer)))
        }
        guard curl_multi_add_handle(self.multi, easy.raw) == CURLM_OK else {
            throw CurlError(code: CURLE_FAILED_INIT)
        }
        self.activeCalls += 1
    }

    func remove(_ easy: CurlEasyHandle) {
        curl_multi_remove_handle(self.multi, easy.raw)
        self.activeCalls -= 1
    }

    /// libcurl's bound counts the connections in use as well, so it moves with them.
    func allowIdleConnections(_ count: Int) {
        ccurl_multi_set_long(self.multi, CURLMOPT_MAXCONNECTS, max(1, self.activeCalls + count))
    }

    /// Lets libcurl work on a socket, or on its timers for -1.
    func act(socket: Int32, mask: Int32) {
        var running: Int32 = 0
        curl_multi_socket_action(self.multi, socket, mask, &running)
    }

    func nextDone() -> ccurl_message? {
        var message = ccurl_message()
        return ccurl_multi_next_done(self.multi, &message) ? message : nil
    }

    // MARK: From libcurl

    func watch(_ socket: Int32, what: Int32, isKnown: Bool) -> Int32 {
        if what == CURL_POLL_REMOVE {
            self.watchedSockets -= 1
            self.loop.counters.watchedSockets.decrease()
        } else if !isKnown {
            self.watchedSockets += 1
            self.loop.counters.watchedSockets.increase()
            curl_multi_assign(self.multi, socket, self.multi)
        }
        return self.loop.watch(socket, what: what, isKnown: isKnown, shard: self.index) ? 0 : -1
    }

    func setTimer(milliseconds: Int) {
        guard milliseconds >= 0 else {
            if let timer = self.timer.take() { self.loop.timers.remove(timer) }
            return
        }
        let deadline = ccurl_monotonic_nanoseconds().addingClamped(UInt64(milliseconds) * 1_000_000)
        if let timer = self.timer, self.loop.timers.move(timer, to: deadline) { return }
        self.timer = self.loop.timers.insert(.shard(self), at: deadline)
    }

    func socketOpened() {
        self.openSockets += 1
        self.loop.counters.openSockets.increase()
    }

    func socketClosed() {
        self.openSockets -= 1
        self.loop.counters.openSockets.decrease()
    }
}
