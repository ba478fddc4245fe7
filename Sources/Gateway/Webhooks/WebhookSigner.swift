import Crypto
import NIOCore
import StreamCodecs

/// Signs messages as the Standard Webhooks specification has it: HMAC-SHA256 over `<id>.<timestamp>.<body>`, one
/// signature for each secret.
struct WebhookSigner: Sendable {
    private let keys: [SymmetricKey]

    private static let prefix = "whsec_"
    private static let minimumBytes = 16

    /// Secrets that cannot sign are left out; nil when none is left.
    init?(secrets: [Secret]) {
        self.keys = secrets.compactMap { Self.bytes(of: $0) }.map { SymmetricKey(data: $0) }
        guard !self.keys.isEmpty else { return nil }
    }

    /// What is wrong with a secret, without showing it; nil: nothing.
    static func problem(of secret: Secret) -> String? {
        guard let bytes = self.bytes(of: secret) else {
            return "expected base64 behind \"\(self.prefix)\", found something else"
        }
        return bytes.count < self.minimumBytes
            ? "expected a signing secret of at least \(self.minimumBytes) bytes, found a shorter one" : nil
    }

    /// Behind `whsec_` the key stands in base64; any other text is the key itself.
    private static func bytes(of secret: Secret) -> [UInt8]? {
        let text = secret.reveal()
        guard text.hasPrefix(self.prefix) else { return Array(text.utf8) }
        let coded = ByteBuffer(string: String(text.dropFirst(self.prefix.count)))
        guard let bytes = try? Base64.decode(coded) else { return nil }
        return Array(bytes.readableBytesView)
    }

    /// The value of `webhook-signature`: `v1,` and a signature in base64, separated by spaces.
    /// - Parameter timestamp: seconds since 1970.
    func signature(id: String, timestamp: Int64, body: ByteBuffer) -> String {
        var signed = ByteBuffer(string: "\(id).\(timestamp).")
        signed.writeImmutableBuffer(body)
        return self.keys.map { key in
            let code = HMAC<SHA256>.authenticationCode(for: Array(signed.readableBytesView), using: key)
            return "v1,\(String(buffer: Base64.encode(ByteBuffer(bytes: Array(code)))))"
        }.joined(separator: " ")
    }
}
