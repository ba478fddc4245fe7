import HTTPTypes
import StreamCodecs

/// What the gateway believes of those in front of it: which peers are proxies of ours, and which pages may call. A class, since
/// every request passes it on.
final class EdgePolicy: Sendable {
    let proxies: TrustedProxies
    let origins: CrossOriginPolicy
    /// The origin of the gateway's own pages, as clients see it.
    let ownOrigin: String?
    /// Whether clients reach the gateway over TLS.
    let isSecure: Bool

    /// Believes nobody, allows nobody.
    static let none = EdgePolicy(proxies: TrustedProxies(networks: []), origins: CrossOriginPolicy(origins: []))

    init(proxies: TrustedProxies, origins: CrossOriginPolicy, ownOrigin: String? = nil) {
        self.proxies = proxies
        self.origins = origins
        self.ownOrigin = ownOrigin
        self.isSecure = ownOrigin?.hasPrefix("https://") ?? false
    }

    /// - Parameter publicURL: base of absolute URLs.
    convenience init(_ server: RouteTable.Server, publicURL: String) {
        let scheme = publicURL.prefix(publicURL.hasPrefix("https://") ? 8 : 7)
        let host = publicURL.dropFirst(scheme.count).prefix { $0 != "/" }
        self.init(
            proxies: TrustedProxies(networks: server.trustedProxies),
            origins: CrossOriginPolicy(origins: server.origins), ownOrigin: String(scheme + host))
    }
}

/// Proxies of the operator's. What they say of their callers is believed, and nobody else is.
struct TrustedProxies: Sendable {
    let networks: [IPNetwork]

    /// The client's address: of the peer and all those named in front of it, the right-most that is no proxy of ours.
    ///
    /// A proxy adds to the right of what it was sent, so everything left of the first stranger is that stranger's word. Where a
    /// proxy names no address (`unknown`, `_hidden`, or nothing that can be read) its own counts. A request with both
    /// `Forwarded` and `X-Forwarded-For` that do not agree had one of them from its client: then the peer's counts.
    /// `X-Real-IP` is never looked at.
    func client(peer: IPAddress?, _ headers: HTTPFields) -> IPAddress? {
        guard let peer, self.contains(peer) else { return peer }
        let forwarded = self.walk(from: peer, Self.nodes(headers, .forwarded, ForwardedField.nodes(forwarded:)))
        let listed = self.walk(from: peer, Self.nodes(headers, .xForwardedFor, ForwardedField.nodes(xForwardedFor:)))
        switch (forwarded, listed) {
        case (let client?, nil), (nil, let client?): return client
        case (let client?, let other?): return client == other ? client : peer
        case (nil, nil): return peer
        }
    }

    private func contains(_ address: IPAddress) -> Bool { self.networks.contains { $0.contains(address) } }

    /// Nil where the header is absent.
    private func walk(from peer: IPAddress, _ nodes: [ForwardedNode]?) -> IPAddress? {
        guard let nodes else { return nil }
        var client = peer
        for node in nodes.reversed() {
            guard self.contains(client), let address = node.address else { return client }
            client = address
        }
        return client
    }

    /// The nodes of all lines of the header, oldest first, from the last line that cannot be read on; nil where there is none.
    private static func nodes(
        _ headers: HTTPFields, _ name: HTTPField.Name, _ read: (String) -> [ForwardedNode]?
    ) -> [ForwardedNode]? {
        let lines = headers[values: name]
        guard !lines.isEmpty else { return nil }
        var nodes: [ForwardedNode] = []
        for line in lines { if let found = read(line) { nodes += found } else { nodes = [.unknown] } }
        return nodes
    }
}

extension HTTPField.Name {
    static let forwarded = HTTPField.Name(EdgeFieldName.forwarded)
    static let xForwardedFor = HTTPField.Name(EdgeFieldName.xForwardedFor)
    static let fetchSite = HTTPField.Name(EdgeFieldName.fetchSite)
    static let referrerPolicy = HTTPField.Name(EdgeFieldName.referrerPolicy)
    static let frameOptions = HTTPField.Name(EdgeFieldName.frameOptions)

    private enum EdgeFieldName: String {
        case forwarded
        case xForwardedFor = "x-forwarded-for"
        case fetchSite = "sec-fetch-site"
        case referrerPolicy = "referrer-policy"
        case frameOptions = "x-frame-options"
    }

    /// The names above are valid tokens, so the fallback is never used.
    private init(_ name: EdgeFieldName) { self = HTTPField.Name(name.rawValue) ?? .server }
}
