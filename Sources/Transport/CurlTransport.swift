import CCurl
import Synchronization

/// Calls upstreams with libcurl: its multi interface over epoll, a thread per processor, no task per call.
///
/// Between ``start()`` and ``shutdown()`` it serves; sessions opened earlier wait, and what is asked later is dropped.
package final class CurlTransport: UpstreamTransport {
    private let threads: [TransportThread]
    private let resolver: NameResolver
    private let next = Atomic(0)

    /// libcurl's own initialisation, once per process.
    private static let globalResult = ccurl_global_init()

    package convenience init(_ configuration: TransportConfiguration = .init()) throws(TransportStartError) {
        try self.init(configuration, resolver: NameResolver())
    }

    init(_ configuration: TransportConfiguration, resolver: NameResolver) throws(TransportStartError) {
        guard Self.globalResult == CURLE_OK else { throw TransportStartError(step: "libcurl", code: 0) }
        let count = max(1, configuration.threads ?? AvailableProcessors.count)
        let certificates = try CertificateBundle(additional: configuration.additionalCertificates)
        let proxies = ProxyEnvironment.current()
        var threads: [TransportThread] = []
        for _ in 0..<count {
            threads.append(
                try TransportThread(configuration, certificates: certificates, resolver: resolver, proxies: proxies))
        }
        self.threads = threads
        self.resolver = resolver
    }

    /// Once. After a failure the transport is of no use; ``shutdown()`` ends the threads that came up.
    package func start() throws(TransportStartError) {
        for thread in self.threads { try thread.start() }
    }

    /// Calls still open end with ``UpstreamFailure/Reason/other``, all sessions are closed, and the threads are joined.
    /// Not from a receiver's callback. Idempotent.
    package func shutdown() {
        self.resolver.shutDown()
        for thread in self.threads { thread.stopAndJoin() }
    }

    /// On the thread with the fewest sessions, in turn among equals.
    package func open(_ receiver: any UpstreamReceiver) -> any UpstreamSession {
        let first = self.next.wrappingAdd(1, ordering: .relaxed).oldValue
        var chosen = self.threads[abs(first % self.threads.count)]
        for thread in self.threads where thread.counters.openSessions.current < chosen.counters.openSessions.current {
            chosen = thread
        }
        return CurlSession(chosen, receiver: receiver)
    }

    /// Open sessions of each thread.
    var sessionsPerThread: [Int] { self.threads.map { $0.counters.openSessions.current } }

    package var statistics: TransportStatistics {
        var sum = TransportStatistics(threads: self.threads.count)
        for counters in self.threads.map(\.counters) {
            let sockets = counters.openSockets.current
            sum.openCalls += counters.openCalls.current
            sum.openSockets += sockets
            sum.idleConnections += max(0, sockets - counters.watchedSockets.current)
            sum.openSessions += counters.openSessions.current
        }
        return sum
    }
}
