import ImageGeneration
import Storage
import Testing

@Suite struct URLSignerTests {
    private static let now = Timestamp(seconds: 1_781_870_400)
    private static let expires = Timestamp(seconds: 1_781_874_000)
    private static let id = ImageID("img_abcdefghijklmnopqrstuvwxyz")

    private static func signer(_ secrets: String...) -> URLSigner? {
        URLSigner(secrets: secrets.map { Array($0.utf8) })
    }

    private static func query(_ signer: URLSigner, _ id: ImageID) -> String {
        let target = signer.target(for: id, expiresAt: Self.expires)
        return String(target.drop { $0 != "?" }.dropFirst())
    }

    /// Worked out with another program, so that what the documentation says is what is signed.
    @Test func theCanonicalFormIsTheDocumentedOne() throws {
        let signer = try #require(Self.signer("0123456789abcdef"))
        let id = try #require(Self.id)
        #expect(
            signer.target(for: id, expiresAt: Self.expires)
                == "/v1/images/img_abcdefghijklmnopqrstuvwxyz?expires=1781874000&key=6232dde1&signature="
                + "dbc1f80b478fd03ebc3596ff9e25a6fd6c6aec1ccd9979620aa7a550d6ffe1de")
    }

    @Test func acceptsItsOwnUntilItEnds() throws {
        let signer = try #require(Self.signer("0123456789abcdef"))
        let id = try #require(Self.id)
        let query = Self.query(signer, id)
        #expect(signer.verify(id, query: query, now: Self.now) == Self.expires)
        #expect(signer.verify(id, query: query, now: Timestamp(seconds: 0)) == Self.expires)
        let last = Self.expires.advanced(byMilliseconds: -1)
        #expect(signer.verify(id, query: query, now: last) == Self.expires)
        #expect(signer.verify(id, query: query, now: Self.expires) == nil)
        #expect(signer.verify(ImageID(), query: query, now: Self.now) == nil)
    }

    /// Every edit makes another URL, also those that many readers of queries would not tell apart.
    @Test func refusesEveryEdit() throws {
        let signer = try #require(Self.signer("0123456789abcdef"))
        let id = try #require(Self.id)
        let query = Self.query(signer, id)
        let parts = query.split(separator: "&").map(String.init)
        let (expires, key, signature) = (parts[0], parts[1], parts[2])
        let digits = signature.dropFirst(10)
        let edits = [
            "", "?", "&", "\(expires)", "\(expires)&\(key)", "\(key)&\(signature)", "\(expires)&\(signature)",
            "\(key)&\(expires)&\(signature)", "\(expires)&\(signature)&\(key)", "\(signature)&\(key)&\(expires)",
            "\(expires)&\(query)", "\(query)&\(expires)", "\(query)&\(signature)", "\(query)&x=1", "x=1&\(query)",
            "\(query)&", "&\(query)", "\(query)#", "\(query) ", " \(query)", "\(query)%20", "\(query)\u{0}",
            "?\(query)",
            query.replacing("&", with: "&&"), query.replacing("&", with: ";"), query.replacing("&", with: "&amp;"),
            query.replacing("=", with: "=="), query.replacing("=", with: ":"), query.replacing("=", with: "%3D"),
            query.replacing("expires", with: "Expires"), query.replacing("expires", with: "%65xpires"),
            query.replacing("key", with: "KEY"), query.replacing("signature", with: "sig"), query.uppercased(),
            "expires=1781874001&\(key)&\(signature)", "expires=01781874000&\(key)&\(signature)",
            "expires=+1781874000&\(key)&\(signature)", "expires=-1781874000&\(key)&\(signature)",
            "expires=1781874000.0&\(key)&\(signature)", "expires=1.781874e9&\(key)&\(signature)",
            "expires=0x6A352050&\(key)&\(signature)", "expires=%31781874000&\(key)&\(signature)",
            "expires= 1781874000&\(key)&\(signature)", "expires=&\(key)&\(signature)",
            "expires=99999999999999999999&\(key)&\(signature)", "expires=9223372036854775807&\(key)&\(signature)",
            "expires[]=1781874000&\(key)&\(signature)", "expires=１781874000&\(key)&\(signature)",
            "\(expires)&key=&\(signature)", "\(expires)&key=00000000&\(signature)", "\(expires)&\(key)0&\(signature)",
            "\(expires)&\(key.dropLast())&\(signature)", "\(expires)&\(key.uppercased())&\(signature)",
            "\(expires)&\(key)&signature=", "\(expires)&\(key)&signature=\(digits.dropLast())",
            "\(expires)&\(key)&signature=\(digits.dropLast(2))", "\(expires)&\(key)&signature=\(digits.prefix(16))",
            "\(expires)&\(key)&signature=\(digits)00", "\(expires)&\(key)&signature=\(digits.uppercased())",
            "\(expires)&\(key)&signature=\(String(digits.reversed()))",
            "\(expires)&\(key)&signature=\(String(repeating: "0", count: 64))",
            "\(expires)&\(key)&signature=%\(digits.dropFirst())",
        ]
        for edit in edits where edit != query {
            #expect(signer.verify(id, query: edit, now: Self.now) == nil, "\(edit)")
        }
        #expect(signer.verify(id, query: query, now: Self.now) != nil)
    }

    /// No byte of a URL can be changed.
    @Test func refusesEveryChangedByte() throws {
        let signer = try #require(Self.signer("0123456789abcdef"))
        let id = try #require(Self.id)
        let query = Array(Self.query(signer, id).utf8)
        for index in query.indices {
            for byte in [UInt8(0), 0x20, 0x26, 0x30, 0x31, 0x39, 0x3D, 0x41, 0x46, 0x61, 0x66, 0x7F, 0xC3]
            where byte != query[index] {
                var changed = query
                changed[index] = byte
                let text = String(decoding: changed, as: UTF8.self)
                #expect(signer.verify(id, query: text, now: Self.now) == nil, "\(text)")
            }
            let without = String(decoding: query[..<index] + query[(index + 1)...], as: UTF8.self)
            #expect(signer.verify(id, query: without, now: Self.now) == nil)
        }
    }

    @Test func everyKeyVerifiesAndTheFirstSigns() throws {
        let old = try #require(Self.signer("old-old-old-old-old"))
        let both = try #require(Self.signer("new-new-new-new-new", "old-old-old-old-old"))
        let new = try #require(Self.signer("new-new-new-new-new"))
        let id = try #require(Self.id)
        #expect(both.verify(id, query: Self.query(old, id), now: Self.now) != nil)
        #expect(new.verify(id, query: Self.query(old, id), now: Self.now) == nil)
        #expect(old.verify(id, query: Self.query(both, id), now: Self.now) == nil)
        #expect(Self.query(both, id) == Self.query(new, id))
        let twice = try #require(Self.signer("old-old-old-old-old", "old-old-old-old-old"))
        #expect(twice.verify(id, query: Self.query(old, id), now: Self.now) != nil)
    }

    /// The name of one key with the signature of another.
    @Test func aSignatureHoldsForItsOwnKeyOnly() throws {
        let both = try #require(Self.signer("new-new-new-new-new", "old-old-old-old-old"))
        let old = try #require(Self.signer("old-old-old-old-old"))
        let id = try #require(Self.id)
        let newParts = Self.query(both, id).split(separator: "&")
        let oldParts = Self.query(old, id).split(separator: "&")
        #expect(newParts[1] != oldParts[1])
        for mixed in ["\(newParts[1])&\(oldParts[2])", "\(oldParts[1])&\(newParts[2])"] {
            #expect(both.verify(id, query: "\(newParts[0])&\(mixed)", now: Self.now) == nil)
        }
    }

    @Test func refusesWeakSecrets() {
        #expect(URLSigner(secrets: []) == nil)
        #expect(Self.signer("short") == nil)
        #expect(Self.signer("0123456789abcdef", "short") == nil)
    }
}
