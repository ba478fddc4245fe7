package import NIOCore
import StreamCodecs
import Synchronization

/// Bounds of one client connection.
package struct ConnectionLimits: Sendable {
    /// Bytes of the request target. Default 16 KiB.
    package var uriBytes: Int
    /// From the first byte of a request to the end of its head. Default 10 s.
    package var headDeadline: TimeAmount
    /// Between requests. Default 75 s.
    package var keepAlive: TimeAmount
    /// For the body: this long, and a second more for each `bodyBytesPerSecond` received. Default 15 s.
    package var bodyDeadline: TimeAmount
    /// Default 1,000 bytes.
    package var bodyBytesPerSecond: Int
    /// How long a peer may take nothing of what is written. Default 30 s.
    package var writeStall: TimeAmount
    /// How long to read on after an answer that closes, so that the peer can take the answer. Default 2 s.
    package var lingering: TimeAmount

    /// Bytes of a request's header fields together.
    static let headerBytes = 32 << 10
    static let headerFields = 100

    package init(
        uriBytes: Int = 16 << 10, headDeadline: TimeAmount = .seconds(10), keepAlive: TimeAmount = .seconds(75),
        bodyDeadline: TimeAmount = .seconds(15), bodyBytesPerSecond: Int = 1000, writeStall: TimeAmount = .seconds(30),
        lingering: TimeAmount = .seconds(2)
    ) {
        self.uriBytes = uriBytes
        self.headDeadline = headDeadline
        self.keepAlive = keepAlive
        self.bodyDeadline = bodyDeadline
        self.bodyBytesPerSecond = bodyBytesPerSecond
        self.writeStall = writeStall
        self.lingering = lingering
    }
}

/// Counts open client connections, in all and by address. IPv6 addresses count by their /64.
package final class ConnectionLedger: Sendable {
    private let state: Mutex<State>

    private struct State {
        var total: Int
        var perAddress: Int
        var open = 0
        var byAddress: [String: Int] = [:]
    }

    /// - Parameters:
    ///   - total: connections at once. Default 10,000.
    ///   - perAddress: connections at once from one address. Default 100.
    package init(total: Int = 10_000, perAddress: Int = 100) {
        self.state = Mutex(State(total: total, perAddress: perAddress))
    }

    package var openCount: Int { self.state.withLock { $0.open } }

    package func setLimits(total: Int, perAddress: Int) {
        self.state.withLock {
            $0.total = total
            $0.perAddress = perAddress
        }
    }

    /// Counts a new connection.
    /// - Returns: whether it is within the limits; it is counted either way and ``close(_:)`` is owed.
    func open(_ address: String?) -> Bool {
        self.state.withLock { state in
            state.open += 1
            guard let key = address.map(Self.group) else { return state.open <= state.total }
            let count = state.byAddress[key, default: 0] + 1
            state.byAddress[key] = count
            return state.open <= state.total && count <= state.perAddress
        }
    }

    func close(_ address: String?) {
        self.state.withLock { state in
            state.open -= 1
            guard let key = address.map(Self.group), let count = state.byAddress[key] else { return }
            state.byAddress[key] = count > 1 ? count - 1 : nil
        }
    }

    /// An IPv6 host commands a /64, so that is what counts. Behind a proxy the peer is the proxy: this bounds sockets, not clients.
    private static func group(_ address: String) -> String {
        guard let bits = IPAddress(address) else { return address }
        return bits.isIPv4 ? bits.description : String(bits.high, radix: 16)
    }
}
