import Crypto
import ImageGeneration

/// A static token as its holder writes it: `sfl_`, 16 characters that name it, `_`, 52 characters that only the holder knows.
///
/// The name is no secret: it is looked up, shown in lists and written to logs as ``id``. The secret has 256 random bits, so a plain
/// keyed hash of it is enough to keep (``TokenDigest``).
package struct StaticToken: Sendable {
    /// `tok_` and the 16 characters.
    package let id: String
    package let secret: String

    package static let prefix = "sfl_"
    private static let nameLength = 16
    private static let secretLength = 52

    /// Nil for anything but the exact form.
    package init?(_ text: some StringProtocol) {
        let bytes = text.utf8
        guard bytes.count == Self.prefix.utf8.count + Self.nameLength + 1 + Self.secretLength,
            text.hasPrefix(Self.prefix)
        else { return nil }
        let parts = text.dropFirst(Self.prefix.count).split(separator: "_", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == Self.nameLength, parts[1].utf8.count == Self.secretLength,
            parts.allSatisfy({ $0.utf8.allSatisfy(Base32.contains) })
        else { return nil }
        self.id = "tok_\(parts[0])"
        self.secret = String(parts[1])
    }

    private init(name: Substring, secret: String) {
        self.id = "tok_\(name)"
        self.secret = secret
    }

    /// A new one, of the system's random numbers.
    package static func make() -> StaticToken {
        var numbers = PooledRandomNumbers()
        let name = Base32.encode("", high: numbers.next(), low: numbers.next()).prefix(self.nameLength)
        let secret =
            Base32.encode("", high: numbers.next(), low: numbers.next())
            + Base32.encode("", high: numbers.next(), low: numbers.next())
        return StaticToken(name: name, secret: secret)
    }

    /// What its holder is given, once.
    package var text: String { "\(Self.prefix)\(self.id.dropFirst(4))_\(self.secret)" }
}

/// What is kept of a token's secret: its HMAC-SHA256 under a key of the token's own.
package struct TokenDigest: Hashable, Sendable {
    private let key: [UInt8]
    private let code: [UInt8]

    package init(of secret: String) {
        var numbers = PooledRandomNumbers()
        self.key = (0..<2).flatMap { _ in withUnsafeBytes(of: numbers.next().bigEndian) { Array($0) } }
        self.code = Array(
            HMAC<SHA256>.authenticationCode(for: Array(secret.utf8), using: SymmetricKey(data: self.key)))
    }

    /// Nil for anything but what ``text`` writes.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let key = Base64URL.decode(parts[0].utf8), let code = Base64URL.decode(parts[1].utf8),
            key.count == 16, code.count == 32
        else { return nil }
        self.key = key
        self.code = code
    }

    package var text: String { "\(Base64URL.encode(self.key)).\(Base64URL.encode(self.code))" }

    /// Takes the same time for every secret of the same length.
    package func matches(_ secret: String) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(
            self.code, authenticating: Array(secret.utf8), using: SymmetricKey(data: self.key))
    }
}
