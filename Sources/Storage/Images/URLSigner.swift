import Crypto
package import ImageGeneration

/// Signs and checks `GET /v1/images/{id}` URLs: `?expires=<unix seconds>&signature=<64 hex digits>`.
///
/// The signature is HMAC-SHA256 over the ASCII text `safelight-image-v1\n<id>\n<expires>`, so nothing in the URL but these two
/// values matters and no other reading of the URL is possible. The first key signs; all verify, in constant time.
package struct URLSigner: Sendable {
    private let keys: [SymmetricKey]

    /// - Parameter secrets: at least one, each at least 16 bytes; the first signs.
    package init?(secrets: [[UInt8]]) {
        guard !secrets.isEmpty, secrets.allSatisfy({ $0.count >= 16 }) else { return nil }
        self.keys = secrets.map { SymmetricKey(data: $0) }
    }

    /// The query of a signed URL, without `?`.
    package func query(for id: ImageID, expiresAt: Timestamp) -> String {
        let code = HMAC<SHA256>.authenticationCode(for: Self.canonical(id, expiresAt.seconds), using: self.keys[0])
        return "expires=\(expiresAt.seconds)&signature=\(Hex.encode(code))"
    }

    /// - Parameters:
    ///   - expires: the URL's `expires` as text: decimal digits only, without leading zero.
    ///   - signature: the URL's `signature` as text: 64 lower-case hex digits.
    package func verify(_ id: ImageID, expires: String, signature: String, now: Timestamp) -> Bool {
        guard let seconds = Int64(expires), String(seconds) == expires, let code = Hex.decode(signature),
            code.count == 32
        else { return false }
        let canonical = Self.canonical(id, seconds)
        var valid = false
        for key in self.keys {
            // Every key is tried, so that the time does not tell which one matched.
            valid = HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: canonical, using: key) || valid
        }
        return valid && seconds > now.seconds
    }

    private static func canonical(_ id: ImageID, _ expires: Int64) -> [UInt8] {
        Array("safelight-image-v1\n\(id.text)\n\(expires)".utf8)
    }
}

/// Lower-case hexadecimal.
package enum Hex {
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// Nil for anything but pairs of lower-case hex digits.
    package static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Self.value(digits[index]), let low = Self.value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }
}
