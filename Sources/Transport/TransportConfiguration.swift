import Glibc

package struct TransportConfiguration: Sendable {
    /// Transport threads; nil for one per processor this process may run on.
    package var threads: Int?
    /// A PEM file of certificates trusted besides the system's.
    package var additionalCertificates: String?
    /// What libcurl receives at once, in bytes: it holds a buffer of this size for each open call, though only what was
    /// filled once occupies memory. 1 KiB to 512 KiB.
    package var receiveBufferBytes: Int
    /// Connections each thread keeps for later calls.
    package var idleConnectionsPerThread: Int

    package init(
        threads: Int? = nil, additionalCertificates: String? = nil, receiveBufferBytes: Int = 64 * 1024,
        idleConnectionsPerThread: Int = 64
    ) {
        self.threads = threads
        self.additionalCertificates = additionalCertificates
        self.receiveBufferBytes = receiveBufferBytes
        self.idleConnectionsPerThread = idleConnectionsPerThread
    }
}

/// The transport could not come up.
package struct TransportStartError: Error, CustomStringConvertible {
    /// What was tried.
    package let step: String
    /// The errno.
    package let code: Int32

    package var description: String { "\(self.step): \(String(cString: strerror(self.code)))" }
}

/// Counts of this moment; not one consistent picture.
package struct TransportStatistics: Hashable, Sendable {
    package var threads = 0
    /// Calls not yet ended, or ended but with their connection not yet freed.
    package var openCalls = 0
    package var openSockets = 0
    /// Sockets no call uses, kept for later ones.
    package var idleConnections = 0
    package var openSessions = 0
}
