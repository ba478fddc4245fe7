import HTTPTypes
import ImageGeneration
import StreamCodecs
import Tokens

/// Who may use the operators' listener.
struct AdminAccess: Sendable {
    private let listen: ListenAddress
    private let tokens: [Secret]

    init(_ admin: RouteTable.Admin) {
        self.listen = admin.listen
        self.tokens = admin.tokens
    }

    /// - Throws: `forbidden` for another host's name or another origin's page, `unauthorized`.
    func check(_ scope: RequestScope) throws(GatewayError) {
        guard self.isOwn(authority: scope.authority) else {
            throw GatewayError(.forbidden, "This listener answers its own host only.")
        }
        if let origin = scope.headers[.origin], origin != "http://\(scope.authority)",
            origin != "https://\(scope.authority)"
        {
            throw GatewayError(.forbidden, "This listener answers its own host only.")
        }
        guard !self.tokens.isEmpty else { return }
        guard let presented = try PresentedCredential(scope), presented.carrier == .header, self.matches(presented.text)
        else {
            throw Authenticator.refusal
        }
    }

    /// A name that leads here without being ours may be anybody's; an address is nobody else's.
    private func isOwn(authority: String) -> Bool {
        let authority = authority.lowercased()
        let isIPv6 = authority.hasPrefix("[")
        let host = String(isIPv6 ? authority.prefix { $0 != "]" }.dropFirst() : authority.prefix { $0 != ":" })
        if ListenAddress(host: host, port: 0).isLoopback { return true }
        guard !self.listen.isLoopback, !host.isEmpty else { return false }
        return host == self.listen.host.lowercased() || IPAddress(host) != nil
    }

    /// Takes the same time for every text of the same length.
    private func matches(_ text: String) -> Bool {
        var isOne = false
        for token in self.tokens { isOne = TokenDigest(of: token.reveal()).matches(text) || isOne }
        return isOne
    }
}
