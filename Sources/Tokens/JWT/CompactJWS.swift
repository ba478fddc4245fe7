import NIOCore
import StreamCodecs

/// A signed token in compact form, taken apart. There is one reading of it: strict base64url, strict JSON without repeated members.
///
/// What a header says of where a key may be had (`jwk`, `jku`, `x5u`, `x5c`) is never looked at. `crit` and `b64` ask for what this
/// reader does not do, so a token with either is none.
package struct CompactJWS: Sendable {
    /// As the header names it; it may be any word.
    package let algorithm: String
    package let keyID: String?
    package let payload: [UInt8]
    let signature: [UInt8]
    /// What is signed: the first two parts with their dot.
    let signedBytes: [UInt8]

    /// Bytes of the whole token.
    package static let maximumLength = 16 << 10

    package init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.maximumLength else { return nil }
        let parts = bytes.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[2].isEmpty, let header = Base64URL.decode(parts[0]),
            let payload = Base64URL.decode(parts[1]), let signature = Base64URL.decode(parts[2]),
            let document = try? JSONDocument(ByteBuffer(bytes: header), maximumNesting: 16, maximumNodes: 1024)
        else { return nil }
        let root = document.root
        guard root.kind == .object, let algorithm = root["alg"]?.string, root["crit"] == nil, root["b64"] == nil else {
            return nil
        }
        let keyID = root["kid"]
        guard keyID == nil || keyID?.string != nil else { return nil }
        self.algorithm = algorithm
        self.keyID = keyID?.string
        self.payload = payload
        self.signature = signature
        self.signedBytes = Array(bytes[..<parts[2].startIndex.advanced(by: -1)])
    }
}
