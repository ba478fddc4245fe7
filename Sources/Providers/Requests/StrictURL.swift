/// An http or https URL taken apart by a grammar so narrow that no two parsers can read it differently: no user information,
/// backslash, percent sign in the host, control character or non-ASCII byte.
package struct StrictURL: Sendable, Equatable {
    package let isSecure: Bool
    /// Lower case; an IPv6 address in its brackets.
    package let host: String
    /// As it stands in the URL.
    package let port: Int?

    package static let maximumLength = 8192

    package init?(_ text: String) {
        guard text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x5C })
        else { return nil }
        let lower = text.lowercased()
        let rest: Substring
        if lower.hasPrefix("https://") {
            self.isSecure = true
            rest = lower.dropFirst(8)
        } else if lower.hasPrefix("http://") {
            self.isSecure = false
            rest = lower.dropFirst(7)
        } else {
            return nil
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        guard !authority.contains("@"), let (host, port) = Self.parts(authority) else { return nil }
        self.host = String(host)
        self.port = port
    }

    /// The scheme's own where the URL names none.
    package var effectivePort: Int { self.port ?? (self.isSecure ? 443 : 80) }

    package func hasOrigin(of other: StrictURL) -> Bool {
        self.isSecure == other.isSecure && self.host == other.host && self.effectivePort == other.effectivePort
    }

    private static func parts(_ authority: Substring) -> (host: Substring, port: Int?)? {
        var host = authority
        var rest = Substring()
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[...end]
            rest = authority[authority.index(after: end)...]
            guard self.isIPv6(host.dropFirst().dropLast()) else { return nil }
        } else {
            if let colon = authority.firstIndex(of: ":") {
                host = authority[..<colon]
                rest = authority[colon...]
            }
            guard self.isHost(host) else { return nil }
        }
        guard !rest.isEmpty else { return (host, nil) }
        let digits = rest.dropFirst()
        guard rest.hasPrefix(":"), let port = Int(digits), (1...65535).contains(port), String(port) == digits else {
            return nil
        }
        return (host, port)
    }

    private static func isHost(_ host: Substring) -> Bool {
        guard !host.isEmpty, host.utf8.count <= 253 else { return false }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy {
                    (0x61...0x7A).contains($0) || $0.isDigit || $0 == 0x2D || $0 == 0x5F
                }
        }
    }

    /// The alphabet alone; without a zone. Whether it is an address is asked where it is called.
    private static func isIPv6(_ text: Substring) -> Bool {
        (2...45).contains(text.utf8.count) && text.utf8.filter { $0 == 0x3A }.count >= 2
            && text.utf8.allSatisfy { $0.isDigit || (0x61...0x66).contains($0) || $0 == 0x3A || $0 == 0x2E }
    }
}
