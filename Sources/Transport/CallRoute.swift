import HTTPTypes

/// Where the connection of a call goes, and whose addresses it takes to get there. Touched on one transport thread: its calls
/// share the form of their headers as well.
final class CallRoute {
    let origin: UpstreamOrigin
    /// Empty for a direct connection, as libcurl wants it.
    let proxy: String
    /// What must be looked up before the call may start: through an HTTP or `socks5h` proxy only the proxy itself.
    let lookups: [UpstreamOrigin]
    /// Whether the request travels in TLS, to the upstream or to the proxy.
    let isEncrypted: Bool

    /// An explicit proxy is always used; `no_proxy` concerns the environment's only.
    init(_ call: UpstreamCall, environment: ProxyEnvironment) throws(InvalidURL) {
        guard let origin = UpstreamOrigin(url: call.url) else { throw InvalidURL(what: "the URL") }
        guard origin.scheme == "http" || origin.scheme == "https" else {
            throw InvalidURL(what: "the scheme \(origin.scheme)")
        }
        let isGuarded = call.connection.addresses.isGuarded
        let proxy =
            isGuarded ? "" : call.connection.proxy ?? environment.proxy(scheme: origin.scheme, host: origin.host) ?? ""
        var ends = [origin]
        var isEncrypted = origin.scheme == "https"
        if !proxy.isEmpty {
            guard let via = UpstreamOrigin(proxy: proxy) else { throw InvalidURL(what: "the proxy's URL") }
            isEncrypted = isEncrypted || via.scheme == "https"
            let resolvesHere = via.scheme == "socks4" || via.scheme == "socks5"
            ends = resolvesHere ? [via, origin] : [via]
        }
        self.origin = origin
        self.proxy = proxy
        self.isEncrypted = isEncrypted
        // What may be connected to is known only of names that are looked up here, localhost among them.
        self.lookups = isGuarded ? [origin].filter { !$0.isNumeric } : ends.filter(\.needsLookup)
    }

    /// The last calls' headers, in libcurl's form.
    private var headers: (fields: HTTPFields, list: CurlStringList)?

    /// Calls to one upstream seldom differ in their headers.
    func headerList(_ fields: HTTPFields) -> CurlStringList {
        if let known = self.headers, known.fields.elementsEqual(fields) { return known.list }
        let list = CurlStringList(fields)
        self.headers = (fields, list)
        return list
    }

    struct InvalidURL: Error {
        let what: String
    }
}
