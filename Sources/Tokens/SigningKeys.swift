import Crypto

/// Secrets by which the gateway recognises what it has signed itself. The first signs, all verify.
package struct SigningKeys: Sendable {
    private let keys: [SymmetricKey]

    /// - Parameter secrets: at least one, each at least 16 bytes.
    package init?(secrets: [[UInt8]]) {
        guard !secrets.isEmpty, secrets.allSatisfy({ $0.count >= 16 }) else { return nil }
        self.keys = secrets.map { SymmetricKey(data: $0) }
    }

    /// `<prefix><payload>.<code>`, both in base64url. The prefix is signed too, so that what was made for one purpose serves no other.
    func sign(_ payload: some Sequence<UInt8>, prefix: StaticString) -> String {
        let text = "\(prefix)\(Base64URL.encode(payload))"
        let code = HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: self.keys[0])
        return "\(text).\(Base64URL.encode(code))"
    }

    /// The payload of a text that ``sign(_:prefix:)`` wrote under one of the keys; nil for every other text.
    func verify(_ text: some StringProtocol, prefix: StaticString, maximumLength: Int) -> [UInt8]? {
        guard text.utf8.count <= maximumLength, text.hasPrefix("\(prefix)") else { return nil }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let code = Base64URL.decode(parts[1].utf8), code.count == 32 else { return nil }
        let signed = Array(parts[0].utf8)
        var isValid = false
        // The comparison takes the same time wherever codes differ.
        for key in self.keys {
            isValid = HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: signed, using: key) || isValid
        }
        return isValid ? Base64URL.decode(signed.dropFirst(prefix.utf8CodeUnitCount)) : nil
    }
}
