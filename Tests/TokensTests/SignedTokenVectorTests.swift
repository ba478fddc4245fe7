import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Tokens

private let vectorFolder = SharedFiles.vectors.appendingPathComponent("jws")

/// Signed tokens of Wycheproof and the RFCs: whatever must be refused is, whatever is of an algorithm we offer and good is taken.
@Suite(.enabled(if: SharedFiles.has(vectorFolder), "needs the folder vectors/jws of the shared data"))
struct SignedTokenVectorTests {
    private func document(_ name: String) throws -> JSONNode {
        try JSONDocument(ByteBuffer(bytes: try SharedFiles.bytes(vectorFolder.appendingPathComponent(name)))).root
    }

    private func verifies(_ text: String, _ jwk: JSONNode, _ allowed: Set<SignatureAlgorithm>) async -> Bool {
        guard let token = CompactJWS(text), let key = await VerificationKey(jwk, allowed: allowed) else { return false }
        return key.verifies(token)
    }

    /// The key's `alg` is the only one allowed; a key without one is offered all.
    private static func allowed(_ jwk: JSONNode) -> Set<SignatureAlgorithm> {
        jwk["alg"]?.string.map { name in SignatureAlgorithm(rawValue: name).map { [$0] } ?? [] }
            ?? Set(SignatureAlgorithm.allCases)
    }

    @Test func wycheproof() async throws {
        var verdicts: [Int: String] = [:]
        for item in try self.document("wycheproof-exceptions.json")["cases"]?.elements ?? [] {
            verdicts[Int(try #require(item["tcId"]?.integer))] = item["treat_as"]?.string
        }
        var (refused, taken) = (0, 0)
        for group in try self.document("json_web_signature_test.json")["testGroups"]?.elements ?? [] {
            let jwk = try #require(group["public"] ?? group["private"])
            for test in group["tests"]?.elements ?? [] {
                let number = Int(try #require(test["tcId"]?.integer))
                let verdict = verdicts[number] ?? (test["result"]?.string == "valid" ? "accept" : "reject")
                let isTaken = await self.verifies(
                    test["jws"]?.string ?? "", jwk, Self.allowed(jwk))
                switch verdict {
                case "reject":
                    #expect(!isTaken, "case \(number): \(test["comment"]?.string ?? "")")
                    if verdicts[number] == nil, !isTaken { refused += 1 }
                case "accept" where jwk["kty"]?.string != "oct":
                    #expect(isTaken, "case \(number): \(test["comment"]?.string ?? "")")
                    taken += isTaken ? 1 : 0
                case "accept":
                    #expect(!isTaken, "case \(number): symmetric keys are not offered")
                default: break
                }
            }
        }
        #expect(refused == 353)
        #expect(taken > 0)
    }

    @Test func wycheproofKeySets() async throws {
        // A modulus of the ROCA kind is its issuer's fault and not looked for.
        let roca = 7
        for group in try self.document("json_web_key_test.json")["testGroups"]?.elements ?? [] {
            let set = try #require(group["public"] ?? group["private"])
            for test in group["tests"]?.elements ?? [] where test["result"]?.string == "invalid" {
                guard test["tcId"]?.integer != Int64(roca), let token = CompactJWS(test["jws"]?.string ?? "") else {
                    continue
                }
                let keys = await VerificationKeySet(set.raw, allowed: Set(SignatureAlgorithm.allCases))
                guard case .key(let key)? = keys?.find(for: token) else { continue }
                #expect(!key.verifies(token), "case \(test["tcId"]?.integer ?? 0): \(test["comment"]?.string ?? "")")
            }
        }
    }

    @Test func examplesOfTheRFCs() async throws {
        let document = try self.document("rfc-examples.json")
        var taken = 0
        for example in document["rfc_examples"]?.elements ?? [] {
            guard let text = example["compact"]?.string, let key = example["key"], key["kty"]?.string != "oct",
                let name = example["alg"]?.string, let algorithm = SignatureAlgorithm(rawValue: name)
            else { continue }
            #expect(await self.verifies(text, key, [algorithm]), "\(example["name"]?.string ?? "")")
            taken += 1
        }
        #expect(taken == 7)
    }

    @Test func variantsOfOneToken() async throws {
        let document = try self.document("rfc-examples.json")
        var refused = 0
        for variant in document["derived"]?.elements ?? [] {
            let name = variant["name"]?.string ?? ""
            let jwk = try #require(document["keys"]?[variant["key"]?.string ?? ""])
            let algorithm = SignatureAlgorithm(rawValue: variant["allowed_alg"]?.string ?? "")
            let isTaken = await self.verifies(variant["jws"]?.string ?? "", jwk, algorithm.map { [$0] } ?? [])
            switch (variant["expected"]?.string, variant["level"]?.string) {
            case ("reject", "must"?), ("reject", "should"?):
                #expect(!isTaken, "\(name)")
                refused += 1
            case ("accept", "must"?) where algorithm != nil: #expect(isTaken, "\(name)")
            default: break
            }
        }
        #expect(refused > 90)
    }

    /// The form is judged whatever the key: HS256 is not offered, but a token of it is read as strictly.
    @Test func formsOfATokenThatAreRefused() throws {
        let byHeader: Set<String> = [
            "control-good", "control-header-whitespace", "control-no-typ", "control-unknown-header-member",
            "control-unicode-escape-in-header", "control-url-alphabet",
        ]
        for variant in try self.document("rfc-examples.json")["derived"]?.elements ?? [] {
            let name = variant["name"]?.string ?? ""
            let token = CompactJWS(variant["jws"]?.string ?? "")
            if byHeader.contains(name) { #expect(token?.algorithm == "HS256", "\(name)") }
            if name.hasPrefix("crit-") || name.hasPrefix("b64-")
                || name.hasPrefix("header-") && name != "header-changed"
                || name.hasPrefix("padding-") || name == "oversized-70k" || name == "kid-number"
            {
                #expect(token == nil, "\(name)")
            }
        }
    }

    @Test func claims() throws {
        let document = try self.document("jwt-claims.json")
        let policy = try #require(document["policy"])
        let now = Timestamp(seconds: try #require(policy["now"]?.integer))
        let expected = TokenClaims.Policy(
            issuer: try #require(policy["issuer"]?.string), audience: try #require(policy["audience"]?.string))
        var count = 0
        for item in document["cases"]?.elements ?? [] where item["level"]?.string != "survive" {
            let payload = try #require(Base64URL.decode((item["claims_base64url"]?.string ?? "").utf8))
            let isTaken = TokenClaims(payload, expected, now: now) != nil
            #expect(isTaken == (item["expected"]?.string == "accept"), "\(item["name"]?.string ?? "")")
            count += 1
        }
        #expect(count > 40)
    }
}

/// Which key of a set a token means.
struct VerificationKeySetTests {
    private static let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
    private static let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

    private static func key(_ more: String) -> String {
        #"{"kty": "EC", "crv": "P-256", "x": "\#(x)", "y": "\#(y)"\#(more)}"#
    }

    private static func set(_ keys: String...) async -> VerificationKeySet? {
        await VerificationKeySet(
            ByteBuffer(string: #"{"keys": [\#(keys.joined(separator: ","))]}"#), allowed: [.es256, .rs256])
    }

    private static func token(_ header: String) throws -> CompactJWS {
        try #require(CompactJWS("\(Base64URL.encode(Array(header.utf8))).e30.AAAA"))
    }

    private enum Word: String { case key, unknown, unsuitable, none }

    private static func word(_ set: VerificationKeySet?, _ header: String) throws -> Word {
        switch set?.find(for: try self.token(header)) {
        case .key: .key
        case .unknown: .unknown
        case .unsuitable: .unsuitable
        case nil: .none
        }
    }

    @Test func aTokenNamesOneKeyThatIsForItsAlgorithm() async throws {
        let set = await Self.set(Self.key(#", "kid": "a""#), Self.key(#", "kid": "b", "alg": "ES256", "use": "sig""#))
        #expect(set?.count == 2)
        #expect(try Self.word(set, #"{"alg": "ES256", "kid": "a"}"#) == .key)
        #expect(try Self.word(set, #"{"alg": "ES256", "kid": "b"}"#) == .key)
        #expect(try Self.word(set, #"{"alg": "ES256", "kid": "c"}"#) == .unknown)
        #expect(try Self.word(set, #"{"alg": "ES256", "kid": "../a"}"#) == .unknown)
        #expect(try Self.word(set, #"{"alg": "RS256", "kid": "a"}"#) == .unsuitable)
        #expect(try Self.word(set, #"{"alg": "HS256", "kid": "a"}"#) == .unsuitable)
        #expect(try Self.word(set, #"{"alg": "none", "kid": "a"}"#) == .unsuitable)
        #expect(try Self.word(set, #"{"alg": "ES256"}"#) == .unsuitable)
    }

    @Test func aSingleKeyWithoutANameServesTokensWithoutOne() async throws {
        let set = await Self.set(Self.key(""))
        #expect(try Self.word(set, #"{"alg": "ES256"}"#) == .key)
        #expect(try Self.word(set, #"{"alg": "ES256", "kid": "a"}"#) == .unknown)
        #expect(try Self.word(await Self.set(Self.key(#", "kid": "a""#)), #"{"alg": "ES256"}"#) == .unsuitable)
        #expect(try Self.word(await Self.set(Self.key(""), Self.key("")), #"{"alg": "ES256"}"#) == .unsuitable)
    }

    @Test func keysThatShareANameAreNobodys() async throws {
        let set = await Self.set(Self.key(#", "kid": "a""#), Self.key(#", "kid": "a""#))
        #expect(try Self.word(set, #"{"alg": "ES256", "kid": "a"}"#) == .unsuitable)
    }

    @Test func oneBadKeyDoesNotTakeTheOthersWithIt() async {
        for bad in [
            "null", "{}", #"{"kty": "oct", "k": "AAAA", "kid": "a"}"#, Self.key(#", "kid": 1"#),
            Self.key(#", "use": "enc""#), Self.key(#", "alg": "ES384""#), Self.key(#", "key_ops": ["sign"]"#),
            Self.key("").replacing("P-256", with: "P-384"), Self.key("").replacing("f83O", with: "f83!"),
            Self.key("").replacing("f83O", with: "AAAA"), #"{"kty": "RSA", "n": "AAAA", "e": "AQAB"}"#,
        ] {
            #expect(await Self.set(bad, Self.key(#", "kid": "b""#))?.count == 1, "\(bad)")
            #expect(await Self.set(bad) == nil, "\(bad)")
        }
        #expect(await VerificationKeySet(ByteBuffer(string: "[]"), allowed: [.es256]) == nil)
        #expect(await VerificationKeySet(ByteBuffer(string: "<html>"), allowed: [.es256]) == nil)
    }
}
