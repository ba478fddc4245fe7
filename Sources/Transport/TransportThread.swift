import CCurl
import Glibc
import Synchronization

/// A thread with its event loop, and the way to hand it work.
final class TransportThread: Sendable {
    typealias Work = @Sendable (TransportLoop) -> Void

    private struct Inbox {
        var work: [Work] = []
        var isSignalled = false
        var isClosed = false
        var thread: UInt64?
    }

    let counters: TransportCounters
    private let inbox = Mutex(Inbox())
    private let wakeup: Int32
    private let loop: ThreadConfined<TransportLoop>
    /// 0 while the thread does not run.
    private let threadID = Atomic<UInt64>(0)

    init(
        _ configuration: TransportConfiguration, certificates: CertificateBundle, resolver: NameResolver,
        proxies: ProxyEnvironment
    ) throws(TransportStartError) {
        self.wakeup = ccurl_wakeup_create(false)
        guard self.wakeup >= 0 else { throw TransportStartError(step: "eventfd", code: errno) }
        let loop: TransportLoop
        do {
            loop = try TransportLoop(
                configuration, certificates: certificates, resolver: resolver, proxies: proxies, wakeup: self.wakeup)
        } catch {
            close(self.wakeup)
            throw error
        }
        self.counters = loop.counters
        self.loop = ThreadConfined(loop)
    }

    deinit { close(self.wakeup) }

    /// The thread keeps itself alive until ``stopAndJoin()``.
    func start() throws(TransportStartError) {
        let context = Unmanaged.passRetained(self)
        var thread: UInt64 = 0
        let code = ccurl_thread_start(
            &thread, "transport",
            { context in
                if let context { Unmanaged<TransportThread>.fromOpaque(context).takeRetainedValue().main() }
                return nil
            }, context.toOpaque())
        guard code == 0 else {
            context.release()
            throw TransportStartError(step: "thread", code: code)
        }
        self.inbox.withLock { $0.thread = thread }
    }

    /// Not from the thread itself. Idempotent.
    func stopAndJoin() {
        self.post { $0.stop() }
        let thread = self.inbox.withLock { inbox in
            inbox.isClosed = true
            return inbox.thread.take()
        }
        if let thread { ccurl_thread_join(thread) }
        // Closures kept by a thread that never ran, or posted while it ended.
        self.inbox.withLock { $0.work.removeAll() }
    }

    var isCurrent: Bool { self.threadID.load(ordering: .relaxed) == ccurl_thread_current() }

    /// The loop, on this thread; nil elsewhere.
    var currentLoop: TransportLoop? { self.isCurrent ? self.loop.value(on: self) : nil }

    /// Never at once. Dropped after the stop.
    func post(_ work: @escaping Work) {
        let signals = self.inbox.withLock { inbox in
            guard !inbox.isClosed else { return false }
            inbox.work.append(work)
            defer { inbox.isSignalled = true }
            return !inbox.isSignalled
        }
        if signals { ccurl_wakeup_signal(self.wakeup) }
    }

    func takeWork() -> [Work] {
        self.inbox.withLock { inbox in
            inbox.isSignalled = false
            defer { inbox.work = [] }
            return inbox.work
        }
    }

    private func main() {
        self.threadID.store(ccurl_thread_current(), ordering: .relaxed)
        self.loop.value(on: self).run(self)
        self.threadID.store(0, ordering: .relaxed)
        ccurl_release_memory()
    }
}

/// Carries an object that belongs to one transport thread through code that is checked for concurrency.
///
/// Proof of `@unchecked Sendable`: the object is reachable only through ``value(on:)``, which traps on every other
/// thread, and was made before any thread could reach it or on the thread itself. A thread is known by an identity that it
/// writes itself and takes back before it ends, so whoever is given the same one later does not pass for it. Elsewhere only the
/// object's reference count is touched, which is atomic; what a last release destroys there no thread can reach any more.
struct ThreadConfined<Value: AnyObject>: @unchecked Sendable {
    private let object: Value

    init(_ object: Value) { self.object = object }

    func value(on thread: TransportThread) -> Value {
        precondition(thread.isCurrent, "belongs to a transport thread")
        return self.object
    }
}
