package import HTTPTypes
package import NIOCore

/// Carries calls to upstreams. The gateway knows upstreams only through this protocol, so tests can put another in its place.
package protocol UpstreamTransport: Sendable {
    /// Opens a session on one transport thread. Every callback of `receiver` comes on that thread, one at a time, until
    /// ``UpstreamSession/close()``, and none before something is asked of the session.
    func open(_ receiver: any UpstreamReceiver) -> any UpstreamSession
}

/// One job's dealings with upstreams, pinned to one transport thread. All methods may be called from any thread; what they
/// ask for happens on the session's thread, in order, and at once when already there.
package protocol UpstreamSession: Sendable {
    /// Starts a call. Its callbacks carry `id`, which the caller keeps unique within the session.
    func send(_ call: UpstreamCall, id: UpstreamCallID)

    /// Ends a call and frees its connection at once; no callback for it comes afterwards.
    func cancel(_ id: UpstreamCallID)

    /// Reads nothing more of the call's response until ``resume(_:)``; its idle clock stands still. At most one piece that is read
    /// already is held back.
    func pause(_ id: UpstreamCallID)

    func resume(_ id: UpstreamCallID)

    /// Calls ``UpstreamReceiver/timerFired(_:)`` after `delay`; a second timer of the same id replaces the first.
    func schedule(_ id: UpstreamTimerID, after delay: Duration)

    func cancelTimer(_ id: UpstreamTimerID)

    /// Runs `work` on the session's thread, after whatever was asked before. Never runs it inline.
    func execute(_ work: @escaping @Sendable () -> Void)

    /// Cancels everything and lets the receiver go. Idempotent.
    func close()
}

/// What a session reports. Called on the session's transport thread only; must not block.
package protocol UpstreamReceiver: AnyObject, Sendable {
    /// The connection stands, and the request leaves. Told once for each call; not told of one that fails before.
    func sending(call: UpstreamCallID)
    /// The head of the final response; informational ones are skipped.
    func received(head: UpstreamResponseHead, call: UpstreamCallID)
    /// A piece of the body, valid during the call only; at most 512 KiB.
    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID)
    /// The call is over: nil after a whole response, else why not. Last callback of the call.
    func ended(call: UpstreamCallID, failure: UpstreamFailure?)
    func timerFired(_ id: UpstreamTimerID)
}

extension UpstreamReceiver {
    /// Most have nothing to do then.
    package func sending(call: UpstreamCallID) {}
}

package struct UpstreamCallID: Hashable, Sendable {
    package let rawValue: Int
    package init(_ rawValue: Int) { self.rawValue = rawValue }
}

package struct UpstreamTimerID: Hashable, Sendable {
    package let rawValue: Int
    package init(_ rawValue: Int) { self.rawValue = rawValue }
}

/// One HTTP request to an upstream.
package struct UpstreamCall: Sendable {
    package var method: HTTPRequest.Method
    /// Absolute `http:` or `https:` URL.
    package var url: String
    package var headers: HTTPFields
    /// Sent with `Content-Length`; the pieces one after the other, never joined. Empty for no body.
    package var body: [ByteBuffer]
    package var timeouts: UpstreamTimeouts
    package var connection: UpstreamConnectionPolicy
    /// Bytes of response body after which the call fails with ``UpstreamFailure/Reason/tooLarge``; nil for no limit.
    package var maximumResponseBytes: Int?

    package init(
        method: HTTPRequest.Method, url: String, headers: HTTPFields = [:], body: [ByteBuffer] = [],
        timeouts: UpstreamTimeouts = .init(), connection: UpstreamConnectionPolicy = .init(),
        maximumResponseBytes: Int? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
        self.connection = connection
        self.maximumResponseBytes = maximumResponseBytes
    }
}

/// Limits of one call by phase; nil for none.
package struct UpstreamTimeouts: Hashable, Sendable {
    /// From the start of the call: names resolved, TCP and TLS up.
    package var connect: Duration?
    /// From the last byte of the request to the head of the response.
    package var firstByte: Duration?
    /// Silence between two pieces of the body.
    package var idle: Duration?
    /// The whole call.
    package var total: Duration?

    package init(connect: Duration? = nil, firstByte: Duration? = nil, idle: Duration? = nil, total: Duration? = nil) {
        self.connect = connect
        self.firstByte = firstByte
        self.idle = idle
        self.total = total
    }
}

package struct UpstreamConnectionPolicy: Hashable, Sendable {
    package var version: HTTPVersion
    /// `http://host:port`, `socks5h://…`; nil for the environment's (`https_proxy`, `no_proxy`).
    package var proxy: String?
    /// Anything but `any` resolves the name here, vets every address, connects to nothing but those, over a connection that no
    /// other call ever shares; `proxy` and the environment's are not used. Default `any`.
    package var addresses: AddressPolicy

    package init(version: HTTPVersion = .http1, proxy: String? = nil, addresses: AddressPolicy = .any) {
        self.version = version
        self.proxy = proxy
        self.addresses = addresses
    }

    package enum HTTPVersion: String, Sendable { case http1 = "1.1", http2 = "2" }
}

package struct UpstreamResponseHead: Sendable {
    package let status: Int
    package let headers: HTTPFields

    package init(status: Int, headers: HTTPFields) {
        self.status = status
        self.headers = headers
    }
}

/// Why a call did not bring a whole response.
package struct UpstreamFailure: Error, Sendable {
    package let reason: Reason
    /// Whether any byte of the request can have reached the upstream: decides what the call may have cost.
    package let requestSent: Bool
    /// For logs: libcurl's words. May name hosts; never shown to a client.
    package let detail: String

    package init(_ reason: Reason, requestSent: Bool, detail: String) {
        self.reason = reason
        self.requestSent = requestSent
        self.detail = detail
    }

    package enum Reason: String, Sendable {
        /// The name does not resolve.
        case resolve
        /// No address of the name may be connected to.
        case refusedAddress = "refused_address"
        /// Refused, unreachable, reset before TLS was up.
        case connect
        /// TLS failed or the certificate is not trusted.
        case tls
        case connectTimeout = "connect_timeout"
        case firstByteTimeout = "first_byte_timeout"
        case idleTimeout = "idle_timeout"
        case totalTimeout = "total_timeout"
        /// The connection ended inside the response, or before its head.
        case truncated
        /// Not HTTP, or HTTP that libcurl refuses.
        case malformed
        case tooLarge = "too_large"
        /// Anything else.
        case other
    }
}
