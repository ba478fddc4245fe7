package import ImageGeneration

/// Whom a browser is known by that shows no credential: a random name, signed, in a cookie that scripts cannot read.
package struct SessionCookie: Hashable, Sendable {
    /// `ses_` and 26 characters.
    package let id: String
    package let issuedAt: Timestamp

    /// What it is called. Over TLS a browser takes the name with the prefix from this host alone, with `Secure` and for `/`, so that no
    /// neighbour under the same domain can give a visitor a session of its choice (RFC 6265bis, section 4.1.3.2).
    package static func name(isSecure: Bool) -> String {
        isSecure ? "__Host-safelight_session" : "safelight_session"
    }

    /// 30 days, in seconds; a page that is opened in the last half of it gets a new cookie for the same session.
    package static let lifetime: Int64 = 30 * 86_400
    private static let prefix: StaticString = "sfs_"
    private static let maximumLength = 256
    private static let idPrefix: StaticString = "ses_"

    /// Whether the name is a browser's, not that of anybody with a credential.
    package static func isID(_ name: String) -> Bool { name.hasPrefix("\(self.idPrefix)") }

    package init(id: String, issuedAt: Timestamp) {
        self.id = id
        self.issuedAt = issuedAt
    }

    package init(issuedAt: Timestamp) {
        var numbers = PooledRandomNumbers()
        self.init(id: Base32.encode(Self.idPrefix, high: numbers.next(), low: numbers.next()), issuedAt: issuedAt)
    }

    /// Nil for a value that is none of ours, or older than ``lifetime``.
    package init?(_ value: some StringProtocol, keys: SigningKeys, now: Timestamp) {
        guard let bytes = keys.verify(value, prefix: Self.prefix, maximumLength: Self.maximumLength) else { return nil }
        let parts = String(decoding: bytes, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 2, let seconds = Int64(parts[1]), now.seconds - seconds < Self.lifetime else { return nil }
        self.init(id: String(parts[0]), issuedAt: Timestamp(seconds: seconds))
    }

    package func value(_ keys: SigningKeys) -> String {
        keys.sign("\(self.id) \(self.issuedAt.seconds)".utf8, prefix: Self.prefix)
    }

    /// Whether a page that is opened now should get the cookie anew.
    package func isAging(at now: Timestamp) -> Bool { now.seconds - self.issuedAt.seconds > Self.lifetime / 2 }
}
