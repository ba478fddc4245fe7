package import ImageGeneration
import NIOCore
import StreamCodecs

/// What a signed token says of its holder, once its signature is known to be good.
package struct TokenClaims: Sendable {
    package let issuer: String
    package let subject: String
    package let expiresAt: Timestamp
    /// Of `scope` (words in one text) or `scp` (a list, or words in one text).
    package let scopes: Set<String>
    /// All claims that are text, a whole number or a flag, as text: limits may go by them.
    package let others: [String: String]

    package struct Policy: Hashable, Sendable {
        package var issuer: String
        package var audience: String

        package init(issuer: String, audience: String) {
            self.issuer = issuer
            self.audience = audience
        }
    }

    /// How far clocks may be apart, in milliseconds.
    package static let leeway: Int64 = 30_000
    /// Bytes of a subject.
    private static let maximumSubject = 255
    /// What a token may say that limits go by: so many claims, each of so many bytes, and so many bytes of them all.
    private static let others = (count: 64, bytes: 256, sum: 4096)

    /// Nil unless the payload is an object of claims, of this issuer, for this audience, about somebody, and good at `now`.
    package init?(_ payload: [UInt8], _ policy: Policy, now: Timestamp) {
        guard let root = try? JSONDocument(ByteBuffer(bytes: payload), maximumNesting: 32, maximumNodes: 1 << 13).root,
            root.kind == .object, root["iss"]?.string == policy.issuer, Self.names(policy.audience, root["aud"]),
            let subject = root["sub"]?.string, Self.isPlain(subject), let expires = Self.time(root["exp"]),
            now.milliseconds < expires.addingReportingOverflow(Self.leeway).partialValue
        else { return nil }
        for name in ["nbf", "iat"] {
            guard let claim = root[name] else { continue }
            guard let time = Self.time(claim), time <= now.milliseconds + Self.leeway else { return nil }
        }
        self.issuer = policy.issuer
        self.subject = subject
        self.expiresAt = Timestamp(milliseconds: expires)
        self.scopes = Self.words(root["scope"]).union(Self.words(root["scp"]))
        self.others = Self.texts(root)
    }

    /// The issuer that a payload names, before anything about it is known to be true.
    package static func statedIssuer(_ payload: [UInt8]) -> String? {
        guard let root = try? JSONDocument(ByteBuffer(bytes: payload), maximumNesting: 32, maximumNodes: 1 << 13).root
        else { return nil }
        return root["iss"]?.string
    }

    private static func names(_ audience: String, _ claim: JSONNode?) -> Bool {
        guard let claim else { return false }
        if let one = claim.string { return one == audience }
        let all = claim.elements
        return all.allSatisfy { $0.kind == .string } && all.contains { $0.string == audience }
    }

    private static func isPlain(_ subject: String) -> Bool {
        (1...Self.maximumSubject).contains(subject.utf8.count)
            && subject.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    }

    /// Milliseconds; a date beyond all that can be counted is the last one.
    private static func time(_ claim: JSONNode?) -> Int64? {
        guard let seconds = claim?.double, seconds.isFinite else { return nil }
        return Int64((max(-1e12, min(seconds, 1e12)) * 1000).rounded(.down))
    }

    private static func words(_ claim: JSONNode?) -> Set<String> {
        guard let claim else { return [] }
        let texts = claim.string.map { [$0] } ?? claim.elements.compactMap(\.string)
        return Set(texts.flatMap { $0.split(separator: " ").map(String.init) })
    }

    private static func texts(_ root: JSONNode) -> [String: String] {
        var texts: [String: String] = [:]
        var sum = 0
        for (name, _, value) in root.members where texts.count < Self.others.count {
            let text = value.string ?? value.integer.map { "\($0)" } ?? value.boolean.map { "\($0)" }
            guard let text, text.utf8.count <= Self.others.bytes, name.utf8.count <= Self.others.bytes else { continue }
            sum += name.utf8.count + text.utf8.count
            guard sum <= Self.others.sum else { break }
            texts[name] = text
        }
        return texts
    }
}
