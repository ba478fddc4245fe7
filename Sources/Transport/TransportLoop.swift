import CCurl
import Glibc

/// What a timer of the loop is for.
enum TimerTarget {
    case call(CurlCall)
    case session(SessionState, UpstreamTimerID)
    case shard(CurlShard)
}

/// The event loop of one transport thread: epoll, timers, libcurl's multi handles. Touched on that thread only.
///
/// libcurl may not be asked for anything from inside its own callbacks, where most of a receiver's wishes arise. So
/// starts and removals of calls are only noted, and done at the end of the turn.
final class TransportLoop {
    let counters = TransportCounters()
    let profile: TransferProfile
    let resolver: NameResolver
    let proxies: ProxyEnvironment
    var timers = TimerHeap<TimerTarget>()
    /// The monotonic clock at the last look, in nanoseconds.
    private(set) var now = ccurl_monotonic_nanoseconds()

    private let idleConnectionLimit: Int
    private let poll: Int32
    private let events: UnsafeMutableBufferPointer<ccurl_event>
    private static let eventCapacity = 256
    private static let wakeupTag = UInt64.max

    private var shards: [CurlShard] = []
    private var freeHandles: [CurlEasyHandle] = []
    private static let maximumFreeHandles = 256
    private var starts: [CurlCall] = []
    private var removals: [CurlCall] = []
    private var continuations: [CurlCall] = []
    private var rejected: [(session: SessionState, id: UpstreamCallID, failure: UpstreamFailure)] = []
    private var sessions: [ObjectIdentifier: SessionState] = [:]
    private var routes: [RouteKey: CallRoute] = [:]
    private static let maximumRoutes = 128
    private var isStopping = false

    private struct RouteKey: Hashable {
        let url: String
        let proxy: String?
        let isGuarded: Bool
    }

    init(
        _ configuration: TransportConfiguration, certificates: CertificateBundle, resolver: NameResolver,
        proxies: ProxyEnvironment, wakeup: Int32
    ) throws(TransportStartError) {
        self.profile = TransferProfile(
            receiveBufferBytes: configuration.receiveBufferBytes, certificates: certificates)
        self.resolver = resolver
        self.proxies = proxies
        self.idleConnectionLimit = configuration.idleConnectionsPerThread
        self.poll = ccurl_poll_create()
        self.events = .allocate(capacity: Self.eventCapacity)
        guard self.poll >= 0, ccurl_poll_watch_wakeup(self.poll, wakeup, Self.wakeupTag) == 0 else {
            throw TransportStartError(step: "epoll", code: errno)
        }
    }

    deinit {
        self.events.deallocate()
        if self.poll >= 0 { Glibc.close(self.poll) }
    }

    /// Within a turn that may be long: libcurl reads an upstream that sends fast many times over.
    func lookAtClock() -> UInt64 {
        self.now = ccurl_monotonic_nanoseconds()
        return self.now
    }

    // MARK: The turn

    func run(_ thread: TransportThread) {
        while !self.isStopping {
            let wasWoken = self.handleEvents()
            if wasWoken {
                for work in thread.takeWork() { work(self) }
            }
            self.fireTimers()
            self.settle()
        }
        self.shutDown()
    }

    func stop() { self.isStopping = true }

    /// Waits until something is due. True when other threads left work.
    private func handleEvents() -> Bool {
        let count = ccurl_poll_wait(
            self.poll, self.events.baseAddress, Int32(Self.eventCapacity), self.millisecondsToWait())
        self.now = ccurl_monotonic_nanoseconds()
        var wasWoken = false
        for event in self.events.prefix(Int(count)) {
            if event.tag == Self.wakeupTag {
                wasWoken = true
            } else {
                // A socket closed earlier in this turn may have left an event behind, even under a number in use again:
                // libcurl takes a wrong hint for a socket it knows, and ignores one it does not.
                self.drive(
                    self.shards[Int(event.tag >> 32)], socket: Int32(truncatingIfNeeded: event.tag), mask: event.mask)
                self.now = ccurl_monotonic_nanoseconds()
            }
        }
        return wasWoken
    }

    /// Rounded up: a wait that ends too early would be repeated with 0 until the time has come.
    private func millisecondsToWait() -> Int32 {
        guard self.starts.isEmpty, self.removals.isEmpty, self.rejected.isEmpty, self.continuations.isEmpty else {
            return 0
        }
        guard let next = self.timers.next else { return -1 }
        let now = ccurl_monotonic_nanoseconds()
        guard next > now else { return 0 }
        return Int32(min((next - now + 999_999) / 1_000_000, 3_600_000))
    }

    private func fireTimers() {
        while let target = self.timers.popExpired(now: self.now) {
            switch target {
            case .call(let call): call.timerFired()
            case .session(let session, let id):
                session.removeTimer(id)
                session.receiver?.timerFired(id)
            case .shard(let shard): self.drive(shard, socket: -1, mask: 0)
            }
        }
    }

    private func drive(_ shard: CurlShard, socket: Int32, mask: Int32) {
        shard.act(socket: socket, mask: mask)
        while let message = shard.nextDone() {
            guard let context = ccurl_easy_private(message.easy) else { continue }
            Unmanaged<CurlCall>.fromOpaque(context).takeUnretainedValue().completed(message.result)
        }
    }

    /// What receivers ask for meanwhile waits for the next turn, so that none can hold the thread.
    private func settle() {
        for call in self.removals.takeAll() { self.detach(call) }
        for call in self.starts.takeAll() where !call.isOver { self.attach(call) }
        for call in self.continuations.takeAll() { call.continueReading() }
        for call in self.rejected.takeAll() { call.session.receiver?.ended(call: call.id, failure: call.failure) }
    }

    /// Every call fails, every connection is closed.
    private func shutDown() {
        for session in self.sessions.values {
            for call in session.calls.values { call.fail(.other, detail: "the transport is shut down") }
            self.close(session)
        }
        for call in self.removals.takeAll() { self.detach(call) }
        self.starts.removeAll()
        self.continuations.removeAll()
        self.rejected.removeAll()
        for shard in self.shards { shard.close() }
        self.shards.removeAll()
        self.freeHandles.removeAll()
        self.timers = TimerHeap()
    }

    // MARK: Sessions

    func register(_ session: SessionState) {
        self.sessions[ObjectIdentifier(session)] = session
    }

    func close(_ session: SessionState) {
        guard session.letReceiverGo() != nil else { return }
        self.sessions.removeValue(forKey: ObjectIdentifier(session))
        self.counters.openSessions.decrease()
        for call in session.calls.values { call.abandon() }
        for timer in session.removeTimers() { self.timers.remove(timer) }
        self.rejected.removeAll { $0.session === session }
    }

    func schedule(_ id: UpstreamTimerID, after delay: Duration, session: SessionState) {
        guard session.receiver != nil else { return }
        let deadline = ccurl_monotonic_nanoseconds().advanced(by: delay)
        if let timer = session.timer(id), self.timers.move(timer, to: deadline) { return }
        session.setTimer(id, self.timers.insert(.session(session, id), at: deadline))
    }

    func cancelTimer(_ id: UpstreamTimerID, session: SessionState) {
        if let timer = session.removeTimer(id) { self.timers.remove(timer) }
    }

    // MARK: Calls

    /// Nothing of the call is reported before this returns.
    func send(_ request: UpstreamCall, id: UpstreamCallID, session: SessionState, thread: TransportThread) {
        guard let receiver = session.receiver else { return }
        session.calls[id]?.abandon()
        self.now = ccurl_monotonic_nanoseconds()
        let route: CallRoute
        do {
            route = try self.route(request)
        } catch {
            let failure = UpstreamFailure(.other, requestSent: false, detail: "\(error.what) cannot be used")
            return self.rejected.append((session, id, failure))
        }
        let call = CurlCall(request, id: id, route: route, session: session, receiver: receiver, loop: self)
        session.calls[id] = call
        self.resolve(call, thread: thread)
    }

    /// Calls to one upstream differ little in their URLs, and reading one costs more than remembering it.
    private func route(_ request: UpstreamCall) throws(CallRoute.InvalidURL) -> CallRoute {
        let key = RouteKey(
            url: request.url, proxy: request.connection.proxy, isGuarded: request.connection.addresses.isGuarded)
        if let known = self.routes[key] { return known }
        let route = try CallRoute(request, environment: self.proxies)
        if self.routes.count >= Self.maximumRoutes { self.routes.removeAll(keepingCapacity: true) }
        self.routes[key] = route
        return route
    }

    func cancel(_ id: UpstreamCallID, session: SessionState) {
        session.calls[id]?.abandon()
        self.rejected.removeAll { $0.session === session && $0.id == id }
    }

    private func resolve(_ call: CurlCall, thread: TransportThread) {
        call.vetNumericHost()
        for end in call.route.lookups {
            call.lookupStarted()
            let confined = ThreadConfined(call)
            let known = self.resolver.resolve(end.host) { resolution in
                thread.post { loop in
                    loop.resolved(confined.value(on: thread), end: end, resolution)
                }
            }
            if let known { self.note(call, end: end, known) }
        }
        if call.isResolved { self.starts.append(call) }
    }

    private func resolved(_ call: CurlCall, end: UpstreamOrigin, _ resolution: NameResolution) {
        guard !call.isOver else { return }
        self.note(call, end: end, resolution)
        if call.isResolved { self.starts.append(call) }
    }

    private func note(_ call: CurlCall, end: UpstreamOrigin, _ resolution: NameResolution) {
        call.lookupEnded()
        switch resolution {
        case .addresses(let addresses): call.addAddresses(addresses, of: end)
        case .failure(let detail): call.lookupFailure = call.lookupFailure ?? "\(end.host): \(detail)"
        }
    }

    private func attach(_ call: CurlCall) {
        if let detail = call.lookupFailure { return call.fail(.resolve, detail: detail) }
        if let detail = call.addressRefusal { return call.fail(.refusedAddress, detail: detail) }
        guard let easy = self.freeHandles.popLast() ?? CurlEasyHandle(), let shard = self.shardWithRoom() else {
            return call.fail(.other, detail: "no memory for the call")
        }
        do {
            try easy.prepare(call, profile: self.profile)
            self.allowIdleConnections(shard, joining: 1)
            try shard.add(easy, for: call)
            call.attachment = CurlCall.Attachment(easy: easy, shard: shard)
            _ = Unmanaged.passRetained(call)
        } catch {
            call.fail(.other, detail: easy.detail(error.code))
        }
    }

    /// Gives the call's handle back; closes its connection unless the response was whole.
    func detach(_ call: CurlCall) {
        guard let attachment = call.attachment.take() else { return }
        attachment.shard.remove(attachment.easy)
        self.allowIdleConnections(attachment.shard, joining: 0)
        if CurlEasyHandle.mayBeUsedAgain, self.freeHandles.count < Self.maximumFreeHandles {
            self.freeHandles.append(attachment.easy)
        }
        call.dispose()
        Unmanaged.passUnretained(call).release()
    }

    func removeSoon(_ call: CurlCall) { self.removals.append(call) }

    func continueSoon(_ call: CurlCall) { self.continuations.append(call) }

    /// The first with room, so that few calls share the idle connections of one shard.
    private func shardWithRoom() -> CurlShard? {
        if let shard = self.shards.first(where: { $0.activeCalls < CurlShard.maximumCalls }) { return shard }
        guard let shard = CurlShard(index: self.shards.count, loop: self) else { return nil }
        self.shards.append(shard)
        return shard
    }

    private func allowIdleConnections(_ shard: CurlShard, joining: Int) {
        let elsewhere = self.shards.reduce(0) { $0 + ($1 === shard ? 0 : $1.idleConnections) }
        // Calls that wait for the end of the turn will take connections that earlier ones of this turn gave back.
        let expected = self.idleConnectionLimit + self.starts.count
        shard.allowIdleConnections(max(0, expected - elsewhere) + joining)
    }

    /// Called by libcurl through the shard.
    func watch(_ socket: Int32, what: Int32, isKnown: Bool, shard: Int) -> Bool {
        let tag = UInt64(shard) << 32 | UInt64(UInt32(bitPattern: socket))
        return ccurl_poll_watch(self.poll, socket, what, isKnown, tag) == 0
    }
}

extension Array {
    /// Empties the array and returns what was in it.
    fileprivate mutating func takeAll() -> [Element] {
        guard !self.isEmpty else { return [] }
        defer { self = [] }
        return self
    }
}
