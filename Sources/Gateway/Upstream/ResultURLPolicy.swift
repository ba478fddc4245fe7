import ImageGeneration

/// Which URLs named by an upstream the gateway will fetch: hosts of a strict grammar that are the upstream's own or listed in
/// `result_hosts`, over https unless private networks are allowed, on the scheme's own port unless the host is the upstream's own.
struct ResultURLPolicy: Sendable {
    let ownHost: String
    let hosts: [HostPattern]
    let allowsPrivateNetwork: Bool

    /// - Throws: `result_url_refused`.
    func check(_ url: String) throws(GatewayError) {
        guard let parts = StrictURL(url) else { throw Self.refusal("it is not a plain http or https URL") }
        let isOwn = parts.host == self.ownHost
        guard isOwn || self.hosts.contains(where: { $0.matches(parts.host) }) else {
            throw Self.refusal("its host is not in result_hosts")
        }
        guard parts.isSecure || self.allowsPrivateNetwork || isOwn else { throw Self.refusal("it is not https") }
        guard parts.port == nil || parts.port == (parts.isSecure ? 443 : 80) || isOwn else {
            throw Self.refusal("it names another port")
        }
    }

    private static func refusal(_ reason: String) -> GatewayError {
        GatewayError(
            .resultURLRefused, "The upstream's picture lies at an address the gateway does not fetch from.",
            billed: .yes,
            cause: reason)
    }
}

/// A URL taken apart by a grammar so narrow that no two parsers can read it differently: no userinfo, backslash, percent sign
/// in the host, control character or non-ASCII byte.
struct StrictURL: Sendable, Equatable {
    let isSecure: Bool
    /// Lower case.
    let host: String
    let port: Int?

    init?(_ text: String) {
        guard text.utf8.count <= 8192, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x5C }) else {
            return nil
        }
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
        guard !authority.contains("@") else { return nil }
        let pieces = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard pieces.count <= 2, Self.isHost(pieces[0]) else { return nil }
        self.host = String(pieces[0])
        if pieces.count == 2 {
            guard let port = Int(pieces[1]), (1...65535).contains(port), String(port) == pieces[1] else { return nil }
            self.port = port
        } else {
            self.port = nil
        }
    }

    private static func isHost(_ host: Substring) -> Bool {
        guard !host.isEmpty, host.utf8.count <= 253 else { return false }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.utf8.count <= 63 && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
        }
    }
}
