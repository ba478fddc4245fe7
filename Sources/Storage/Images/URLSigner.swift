import Crypto
package import ImageGeneration

/// Signs and checks the URLs of stored pictures:
/// `/v1/images/<id>?expires=<Unix seconds>&key=<8 hex digits>&signature=<64 hex digits>`.
///
/// The signature is HMAC-SHA256 over these ASCII lines, joined by one LF, without one at the end:
///
/// ```
/// safelight-image-v1
/// GET
/// /v1/images/<id>
/// <key>
/// <expires>
/// ```
///
/// Exactly this spelling is accepted: the three parameters in this order, each once, nothing percent-encoded, hex digits in
/// lower case, `expires` without sign or leading zero. So a URL has one reading, and every edit of it makes it another URL.
/// It holds for HEAD as for GET, and for nothing else.
///
/// The first key signs, all verify. A key's name is the first 4 bytes of the HMAC-SHA256 of `safelight-image-key-v1` under it.
package struct URLSigner: Sendable {
    private struct Key: Sendable {
        let name: String
        let secret: SymmetricKey

        init(_ bytes: [UInt8]) {
            let secret = SymmetricKey(data: bytes)
            let code = HMAC<SHA256>.authenticationCode(for: Array("safelight-image-key-v1".utf8), using: secret)
            self.name = Hex.encode(code.prefix(4))
            self.secret = secret
        }
    }

    private let keys: [Key]

    /// - Parameter secrets: at least one, each at least 16 bytes; the first signs.
    package init?(secrets: [[UInt8]]) {
        guard !secrets.isEmpty, secrets.allSatisfy({ $0.count >= 16 }) else { return nil }
        self.keys = secrets.map(Key.init)
    }

    /// Path and query of a signed URL.
    package func target(for id: ImageID, expiresAt: Timestamp) -> String {
        let key = self.keys[0]
        let canonical = Self.canonical(id, key: key.name, expires: expiresAt.seconds)
        let code = HMAC<SHA256>.authenticationCode(for: canonical, using: key.secret)
        return "\(Self.path(id))?expires=\(expiresAt.seconds)&key=\(key.name)&signature=\(Hex.encode(code))"
    }

    /// Whether `query` is the one that ``target(for:expiresAt:)`` wrote for this picture, and not yet over.
    /// - Parameter query: what stands behind `?` in the request's target, undecoded.
    /// - Returns: when the URL ends; nil for every other query, without a word why.
    package func verify(_ id: ImageID, query: String, now: Timestamp) -> Timestamp? {
        guard let fields = SignedQuery(query), let code = Hex.decode(fields.signature) else { return nil }
        let canonical = Self.canonical(id, key: fields.key, expires: fields.expires)
        var isValid = false
        // Secrets that share a name are all tried. The comparison takes the same time wherever codes differ.
        for key in self.keys where key.name == fields.key {
            let matches = HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: canonical, using: key.secret)
            isValid = matches || isValid
        }
        return isValid && fields.expires > now.seconds ? Timestamp(seconds: fields.expires) : nil
    }

    /// Where a picture is served.
    package static let pathPrefix = "/v1/images/"

    private static func path(_ id: ImageID) -> String { self.pathPrefix + id.text }

    private static func canonical(_ id: ImageID, key: String, expires: Int64) -> [UInt8] {
        Array("safelight-image-v1\nGET\n\(self.path(id))\n\(key)\n\(expires)".utf8)
    }
}

/// The query of a signed URL, taken apart in its one spelling.
private struct SignedQuery {
    let expires: Int64
    let key: String
    let signature: String

    init?(_ query: String) {
        // Larger dates than the year 33658 are nobody's, and no product of them overflows.
        let maximumDigits = 12
        guard query.utf8.count <= 8 + maximumDigits + 5 + 8 + 11 + 64 else { return nil }
        let fields = query.split(separator: "&", omittingEmptySubsequences: false)
        guard fields.count == 3, fields[0].hasPrefix("expires="), fields[1].hasPrefix("key="),
            fields[2].hasPrefix("signature=")
        else { return nil }
        let digits = fields[0].dropFirst(8)
        guard let expires = Int64(digits), String(expires) == digits, expires > 0 else { return nil }
        self.expires = expires
        self.key = String(fields[1].dropFirst(4))
        self.signature = String(fields[2].dropFirst(10))
        guard self.key.utf8.count == 8, self.signature.utf8.count == 64 else { return nil }
    }
}
