import CCurl

/// Scheme, host and port of a URL, read by libcurl's own parser so that both sides understand the same.
struct UpstreamOrigin: Equatable, Sendable {
    let scheme: String
    /// ASCII form, into which libcurl turns other letters where the locale allows; an IPv6 address without brackets.
    let host: String
    /// 0 where the URL has none and the scheme has no default.
    let port: UInt16

    init?(url: String) {
        self.init(url, fallbackPort: 0)
    }

    /// As libcurl reads a proxy: the scheme may be missing and means http then; the port is 1080, for https 443.
    init?(proxy: String) {
        let url = proxy.contains("://") ? proxy : "http://\(proxy)"
        self.init(url, fallbackPort: url.lowercased().hasPrefix("https:") ? 443 : 1080)
    }

    private init?(_ url: String, fallbackPort: UInt16) {
        var port: UInt16 = 0
        let schemeCapacity = 32
        let hostCapacity = 256
        let parts: (String, String)? = withUnsafeTemporaryAllocation(
            of: CChar.self, capacity: schemeCapacity + hostCapacity
        ) { buffer in
            guard let scheme = buffer.baseAddress else { return nil }
            let host = scheme + schemeCapacity
            guard ccurl_parse_url(url, scheme, schemeCapacity, host, hostCapacity, &port, fallbackPort) else {
                return nil
            }
            return (String(cString: scheme), String(cString: host))
        }
        guard let (scheme, host) = parts else { return nil }
        self.scheme = scheme
        self.host = host
        self.port = port
    }

    /// Whether libcurl needs addresses for it: not for numbers, nor for localhost, which it knows.
    var needsLookup: Bool {
        let host = self.host.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") { return false }
        return !self.isNumeric
    }

    /// An address in place of a name.
    var isNumeric: Bool { ccurl_address_family(self.host) != 0 }
}
