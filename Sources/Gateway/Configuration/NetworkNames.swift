/// `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; port 0 lets the system choose.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// Without the brackets of IPv6.
    package let host: String
    package let port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = NetworkNames.port(text[text.index(after: colon)...]),
            let host = NetworkNames.host(text[..<colon])
        else { return nil }
        self.init(host: host, port: port)
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// Reached from this machine only.
    package var isLoopback: Bool {
        self.host == "localhost" || self.host == "::1" || NetworkNames.ipv4(self.host[...])?.first == 127
    }

    /// All addresses of the machine.
    package var isWildcard: Bool { self.host == "0.0.0.0" || self.host == "::" }
}

/// An upstream's root: a URL, or the embedded simulator.
package enum UpstreamBase: Hashable, Sendable {
    /// `http:` or `https:` without a trailing slash, query or user information.
    case url(String)
    /// `simulator:`; its address is known once it runs.
    case simulator
}

/// A host that result URLs may point at: an exact name, or `*.` and a domain for everything below it; with a port where they
/// name one that is not their scheme's own.
package struct HostPattern: Hashable, Sendable {
    /// Lower case, without the port; with a leading `*.` for a whole domain.
    package let text: String
    package let port: Int?

    package init?(_ text: String) {
        let isDomain = text.hasPrefix("*.")
        guard let (host, port) = NetworkNames.hostAndPort(isDomain ? text.dropFirst(2) : text[...]) else { return nil }
        guard !isDomain || host.contains("."), !host.contains(":") || host.hasPrefix("[") else { return nil }
        self.text = (isDomain ? "*." : "") + host.lowercased()
        self.port = port
    }

    /// `host` as it stands in a URL, in any case; IPv6 in brackets.
    package func matches(_ host: String) -> Bool {
        let host = host.lowercased()
        guard self.text.hasPrefix("*.") else { return host == self.text }
        let suffix = self.text.dropFirst(1)
        return host.utf8.count > suffix.utf8.count && host.hasSuffix(suffix)
    }
}

/// Strict ASCII grammars: whatever they refuse never reaches a resolver.
enum NetworkNames {
    struct WebURL {
        /// As given, without trailing slashes.
        let text: String
        let isSecure: Bool
        /// As it stands in the URL: IPv6 in brackets.
        let host: String
    }

    /// An absolute `http:` or `https:` URL without user information, query and fragment.
    static func webURL(_ text: String) -> WebURL? {
        guard let separator = self.schemeEnd(text), text.utf8.count <= 2048 else { return nil }
        let rest = text[separator...]
        let authority = rest.prefix { $0 != "/" }
        let path = rest.dropFirst(authority.count)
        guard let (host, _) = self.hostAndPort(authority), path.utf8.allSatisfy(self.isPathByte) else { return nil }
        var end = text.endIndex
        while end > separator, text[text.index(before: end)] == "/" { end = text.index(before: end) }
        return WebURL(text: String(text[..<end]), isSecure: text.hasPrefix("https://"), host: host.lowercased())
    }

    /// An `http:` or `https:` origin as browsers write it.
    static func isOrigin(_ text: String) -> Bool {
        guard let url = self.webURL(text), url.text == text, text == text.lowercased() else { return false }
        let authority = text.dropFirst(url.isSecure ? 8 : 7)
        return !authority.contains("/") && !authority.hasSuffix(url.isSecure ? ":443" : ":80")
    }

    /// What ``isOrigin(_:)`` takes, in the form browsers give it: ports without leading zeros, no IPv4 within IPv6.
    static let originPattern: String = {
        let inLabel = "([a-z0-9_-]{0,61}[a-z0-9_])?"
        let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
        let name = "(?![^:]{254})([a-z0-9_]\(inLabel)[.])*[a-z_]\(inLabel)"
        let address = "\(byte)([.]\(byte)){3}"
        let longAddress = "\\[[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}\\]"
        let port = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
        return "^(http://(?!.*:80$)|https://(?!.*:443$))(\(name)|\(address)|\(longAddress))(:\(port))?$"
    }()

    /// `http://host:port`, `https://…`, `socks5://…`, `socks5h://…`, `socks4a://…` and no more than that.
    static func proxy(_ text: String) -> String? {
        for scheme in ["http://", "https://", "socks5h://", "socks5://", "socks4a://"] where text.hasPrefix(scheme) {
            let rest = text.dropFirst(scheme.count)
            let authority = rest.hasSuffix("/") ? rest.dropLast() : rest
            return self.hostAndPort(authority).map { _ in scheme + authority }
        }
        return nil
    }

    /// A name, an IPv4 address, or an IPv6 address in brackets (returned without them).
    static func host(_ text: Substring) -> String? {
        if text.hasPrefix("["), text.hasSuffix("]") {
            let inner = text.dropFirst().dropLast()
            let fine = inner.utf8.allSatisfy { self.isHexDigit($0) || $0 == 0x3A || $0 == 0x2E }
            return fine && inner.utf8.filter { $0 == 0x3A }.count >= 2 && inner.utf8.count <= 45 ? String(inner) : nil
        }
        guard !text.isEmpty, text.utf8.count <= 253 else { return nil }
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.allSatisfy(self.isLabel) else { return nil }
        // All digits and dots is an address or nothing: resolvers read "1.2" and "0x7f" as addresses too.
        let last = labels[labels.count - 1]
        guard let first = last.utf8.first, (0x30...0x39).contains(first) else { return String(text) }
        return self.ipv4(text).map { _ in String(text) }
    }

    static func ipv4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in part == "0" || !part.hasPrefix("0") ? UInt8(part) : nil }
        return parts.count == 4 && bytes.count == 4 && !text.contains("+") ? bytes : nil
    }

    static func port(_ text: Substring) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text).flatMap { (0...65535).contains($0) ? $0 : nil }
    }

    private static func schemeEnd(_ text: String) -> String.Index? {
        for scheme in ["http://", "https://"] where text.hasPrefix(scheme) {
            return text.index(text.startIndex, offsetBy: scheme.count)
        }
        return nil
    }

    static func hostAndPort(_ authority: Substring) -> (host: Substring, port: Int?)? {
        var host = authority
        var port: Int?
        if let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") {
            guard let number = self.port(authority[authority.index(after: colon)...]), number > 0 else { return nil }
            (host, port) = (authority[..<colon], number)
        }
        return self.host(host).map { _ in (host, port) }
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.utf8.allSatisfy { ConfigurationText.isName($0) && $0 != 0x2E }
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    /// What RFC 3986 lets stand in a path: unreserved, sub-delimiters, `:`, `@`, `%`, `/`.
    static func isPathByte(_ byte: UInt8) -> Bool {
        ConfigurationText.isName(byte) || "~!$&'()*+,;=:@%/".utf8.contains(byte)
    }
}
