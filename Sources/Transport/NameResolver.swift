import CCurl
import Glibc
import Synchronization

/// Looks names up on its own threads with `getaddrinfo`, which blocks and cannot be interrupted. Answers are cached
/// for 30 s, failures for 2 s; one look-up at a time per name.
///
/// ``shutDown()`` does not wait for a look-up under way: its thread ends by itself afterwards.
final class NameResolver: Sendable {
    typealias Waiter = @Sendable (NameResolution) -> Void

    private struct State {
        var cache = NameCache<Waiter>()
        var queue: [String] = []
        var isClosed = false
        var threads = 0
        var idleThreads = 0
    }

    private static let maximumThreads = 4

    private let state = Mutex(State())
    /// Counts queued names; each thread takes one at a time.
    private let work: Int32

    private let lookUp: @Sendable (String) -> NameResolution

    /// - Parameter lookUp: blocks until it has the answer.
    init(
        lookUp: @escaping @Sendable (String) -> NameResolution = NameResolver.systemLookUp
    ) throws(TransportStartError) {
        self.lookUp = lookUp
        self.work = ccurl_wakeup_create(true)
        guard self.work >= 0 else { throw TransportStartError(step: "eventfd", code: errno) }
    }

    deinit { close(self.work) }

    /// The answer if it is known, else nil; then `waiter` is called once, on a thread of the resolver.
    func resolve(_ name: String, waiter: @escaping Waiter) -> NameResolution? {
        let now = ccurl_monotonic_nanoseconds()
        let (known, startsThread) = self.state.withLock { state -> (NameResolution?, Bool) in
            guard !state.isClosed else { return (.failure("the resolver is shut down"), false) }
            switch state.cache.ask(name, now: now, waiter: waiter) {
            case .known(let resolution): return (resolution, false)
            case .waiting: return (nil, false)
            case .startLookup:
                state.queue.append(name)
                let startsThread = state.queue.count > state.idleThreads && state.threads < Self.maximumThreads
                if startsThread { state.threads += 1 }
                return (nil, startsThread)
            }
        }
        guard known == nil else { return known }
        ccurl_wakeup_signal(self.work)
        if startsThread { self.startThread() }
        return nil
    }

    func shutDown() {
        let threads = self.state.withLock { state in
            state.isClosed = true
            state.queue.removeAll()
            return state.threads
        }
        for _ in 0..<threads { ccurl_wakeup_signal(self.work) }
    }

    private func startThread() {
        let context = Unmanaged.passRetained(self)
        let code = ccurl_thread_start(
            nil, "resolver",
            { context in
                if let context { Unmanaged<NameResolver>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context.toOpaque())
        guard code != 0 else { return }
        context.release()
        self.threadFailed()
    }

    /// Without a thread a name would never be answered; with another one left it will be.
    private func threadFailed() {
        let orphans = self.state.withLock { state -> [String] in
            state.threads -= 1
            guard state.threads == 0 else { return [] }
            defer { state.queue.removeAll() }
            return state.queue
        }
        for name in orphans { self.complete(name, .failure("no thread for the look-up")) }
    }

    private func run() {
        while let name = self.nextName() {
            self.complete(name, self.lookUp(name))
        }
    }

    private func nextName() -> String? {
        while true {
            self.state.withLock { $0.idleThreads += 1 }
            ccurl_wakeup_take(self.work)
            let (name, isClosed) = self.state.withLock { state -> (String?, Bool) in
                state.idleThreads -= 1
                return (state.queue.isEmpty ? nil : state.queue.removeFirst(), state.isClosed)
            }
            if isClosed { return nil }
            if let name { return name }
        }
    }

    private func complete(_ name: String, _ resolution: NameResolution) {
        let now = ccurl_monotonic_nanoseconds()
        for waiter in self.state.withLock({ $0.cache.complete(name, resolution, now: now) }) { waiter(resolution) }
    }

    @Sendable static func systemLookUp(_ name: String) -> NameResolution {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
            guard let addresses = buffer.baseAddress else { return .failure("no memory") }
            let code = ccurl_lookup(name, addresses, buffer.count)
            guard code != 0 else { return .addresses(String(cString: addresses)) }
            return .failure(ccurl_lookup_error(code).map { String(cString: $0) } ?? "error \(code)")
        }
    }
}
