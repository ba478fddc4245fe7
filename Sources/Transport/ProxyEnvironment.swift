import Glibc

/// The proxies that the environment names: `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`. Read once, here and
/// not by libcurl, because the transport must know whose name to resolve.
struct ProxyEnvironment: Sendable {
    private let http: String?
    private let https: String?
    private let bypass: [Bypass]

    private enum Bypass: Equatable {
        case everything
        case domain(String)
        case network(AddressBits, prefix: Int)
    }

    /// `http_proxy` counts in lower case only: a CGI-like parent sets `HTTP_PROXY` from a request's `Proxy` field.
    init(_ environment: [String: String]) {
        func value(_ names: String...) -> String? {
            names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        let all = value("all_proxy", "ALL_PROXY")
        self.http = value("http_proxy") ?? all
        self.https = value("https_proxy", "HTTPS_PROXY") ?? all
        self.bypass = (value("no_proxy", "NO_PROXY") ?? "")
            .split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" })
            .map { Self.bypass(for: $0.lowercased()) }
    }

    /// The proxy for a host, nil for a direct connection. Loopback is always direct.
    func proxy(scheme: String, host: String) -> String? {
        guard let proxy = scheme == "https" ? self.https : self.http else { return nil }
        let host = Self.withoutTrailingDot(host.lowercased())
        let address = AddressBits(host)
        if host == "localhost" || host.hasSuffix(".localhost") || address?.isLoopback == true { return nil }
        return self.bypass.contains { Self.matches($0, host: host, address: address) } ? nil : proxy
    }

    private static func bypass(for entry: String) -> Bypass {
        if entry == "*" { return .everything }
        let parts = entry.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let bare = parts[0].hasPrefix("[") && parts[0].hasSuffix("]") ? parts[0].dropFirst().dropLast() : parts[0]
        if let address = AddressBits(String(bare)) {
            let width = address.bytes.count * 8
            let prefix = parts.count == 2 ? Int(parts[1]) ?? -1 : width
            return (0...width).contains(prefix) ? .network(address, prefix: prefix) : .domain(entry)
        }
        return .domain(Self.withoutTrailingDot(entry.hasPrefix(".") ? String(entry.dropFirst()) : entry))
    }

    private static func matches(_ entry: Bypass, host: String, address: AddressBits?) -> Bool {
        switch entry {
        case .everything: true
        case .domain(let domain): !domain.isEmpty && (host == domain || host.hasSuffix("." + domain))
        case .network(let network, let prefix): address?.isIn(network, prefix: prefix) ?? false
        }
    }

    private static func withoutTrailingDot(_ host: String) -> String {
        host.hasSuffix(".") ? String(host.dropLast()) : host
    }
}

extension ProxyEnvironment {
    /// Of this process.
    static func current() -> ProxyEnvironment {
        let names = [
            "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
        ]
        return ProxyEnvironment(
            names.reduce(into: [:]) { environment, name in
                if let value = getenv(name) { environment[name] = String(cString: value) }
            })
    }
}
