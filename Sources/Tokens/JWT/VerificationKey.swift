import JWTKit
package import StreamCodecs

/// One public key, and the algorithms that tokens may use it with.
package struct VerificationKey: Sendable {
    /// Its `kid`; nil where it has none.
    package let id: String?
    private let verifiers: [SignatureAlgorithm: any JWTAlgorithm]
    /// Bytes: every signature of this key has as many.
    private let signatureLength: Int

    /// Bits of an RSA modulus.
    private static let modulusBits = 2048...8192

    /// Only the public members of the key are read. Nil for one that cannot check any of `allowed`: another kind or curve, another
    /// `alg`, another `use`, too short, or not what it says it is.
    package init?(_ jwk: JSONNode, allowed: Set<SignatureAlgorithm>) async {
        guard jwk.kind == .object, Self.isForSignatures(jwk) else { return nil }
        if let id = jwk["kid"] {
            guard let text = id.string else { return nil }
            self.id = text
        } else {
            self.id = nil
        }
        var verifiers: [SignatureAlgorithm: any JWTAlgorithm] = [:]
        var length = 0
        for algorithm in allowed where Self.suits(jwk, algorithm) {
            guard let (key, signatureLength) = Self.key(jwk, algorithm),
                let verifier = try? await JWTKeyCollection().add(jwk: key, isDefault: true).getKey(),
                verifier.name == algorithm.rawValue
            else { continue }
            verifiers[algorithm] = verifier
            length = signatureLength
        }
        guard !verifiers.isEmpty else { return nil }
        self.verifiers = verifiers
        self.signatureLength = length
    }

    /// Whether the key made the token's signature. An algorithm that it is not for is no signature of its.
    package func verifies(_ token: CompactJWS) -> Bool {
        guard let algorithm = SignatureAlgorithm(rawValue: token.algorithm), let verifier = self.verifiers[algorithm],
            token.signature.count == self.signatureLength
        else { return false }
        return (try? verifier.verify(token.signature, signs: token.signedBytes)) ?? false
    }

    /// Whether tokens of this algorithm may use the key.
    func allows(_ algorithm: String) -> Bool {
        SignatureAlgorithm(rawValue: algorithm).map { self.verifiers[$0] != nil } ?? false
    }

    // MARK: Reading

    private static func isForSignatures(_ jwk: JSONNode) -> Bool {
        if let use = jwk["use"], use.string != "sig" { return false }
        guard let operations = jwk["key_ops"] else { return true }
        return operations.elements.contains { $0.string == "verify" }
    }

    private static func suits(_ jwk: JSONNode, _ algorithm: SignatureAlgorithm) -> Bool {
        let (kty, curve) = algorithm.keyType
        guard jwk["kty"]?.string == kty, jwk["crv"]?.string == curve else { return false }
        return jwk["alg"] == nil || jwk["alg"]?.string == algorithm.rawValue
    }

    /// The key as the library takes it, from members that were read strictly: it takes text that is no base64url for nothing.
    private static func key(_ jwk: JSONNode, _ algorithm: SignatureAlgorithm) -> (JWK, signatureLength: Int)? {
        let name = JWK.Algorithm(rawValue: algorithm.rawValue)
        let id = JWKIdentifier(string: "key")
        guard let length = algorithm.coordinateLength else {
            guard let modulus = Self.bytes(jwk["n"]), let exponent = Self.bytes(jwk["e"]), modulus.first != 0,
                Self.modulusBits.contains(modulus.count * 8 - (modulus.first?.leadingZeroBitCount ?? 8)),
                Self.isSound(exponent: exponent)
            else { return nil }
            let key = JWK.rsa(
                name, identifier: id, modulus: Base64URL.encode(modulus), exponent: Base64URL.encode(exponent))
            return (key, modulus.count)
        }
        guard let x = Self.bytes(jwk["x"]), x.count == length else { return nil }
        if algorithm == .edDSA {
            let key = JWK.octetKeyPair(name, identifier: id, x: Base64URL.encode(x), y: nil, curve: .ed25519)
            return (key, 64)
        }
        guard let y = Self.bytes(jwk["y"]), y.count == length else { return nil }
        let curve = algorithm.keyType.curve.flatMap { ECDSACurve(rawValue: $0) }
        let key = JWK.ecdsa(name, identifier: id, x: Base64URL.encode(x), y: Base64URL.encode(y), curve: curve)
        return (key, 2 * length)
    }

    private static func bytes(_ node: JSONNode?) -> [UInt8]? {
        node?.string.flatMap { Base64URL.decode($0.utf8) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Odd, of at most 32 bits, and not 1, with which everything is signed.
    private static func isSound(exponent: [UInt8]) -> Bool {
        guard exponent.count <= 4, exponent.first != 0 else { return false }
        let value = exponent.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return value >= 3 && value % 2 == 1
    }
}
