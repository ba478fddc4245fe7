import ImageGeneration
import NIOCore

// A signed token has one reading: what is read of it, written again, is the very text that came. Claims are read of any bytes
// without a trap, and what they allow is what they say.

@_cdecl("LLVMFuzzerTestOneInput")
func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = FuzzInput(start, count)
    let text = String(decoding: input.payload, as: UTF8.self)
    checkToken(text)
    // Any header before a payload and a signature that are sound.
    checkToken("\(Base64URL.encode(input.payload)).e30.AAAA")
    checkClaims(input.payload)
    if let bytes = Base64URL.decode(text.utf8) {
        precondition(Base64URL.encode(bytes) == text, "another text for the same bytes")
    }
    return 0
}

private func checkToken(_ text: String) {
    guard let token = CompactJWS(text) else { return }
    precondition(text.utf8.count <= CompactJWS.maximumLength, "a token that is too long")
    let signed = String(decoding: token.signedBytes, as: UTF8.self)
    precondition(text == "\(signed).\(Base64URL.encode(token.signature))", "another text for the same token")
    precondition(signed.hasSuffix(".\(Base64URL.encode(token.payload))"), "another payload than the one signed")
    checkClaims(token.payload)
}

private func checkClaims(_ payload: [UInt8]) {
    let now = Timestamp(seconds: 1_790_000_000)
    let issuer = TokenClaims.statedIssuer(payload)
    let policy = TokenClaims.Policy(issuer: issuer ?? "https://id.example", audience: "safelight")
    guard let claims = TokenClaims(payload, policy, now: now) else { return }
    precondition(claims.issuer == issuer, "claims of another issuer")
    precondition(claims.expiresAt.milliseconds + TokenClaims.leeway > now.milliseconds, "claims that are over")
    precondition(!claims.subject.isEmpty && !claims.subject.utf8.contains(0), "a subject that is nobody")
}
