import Admission
import ImageGeneration
import Testing

@testable import Tokens

/// What the gateway's own credentials look like, and what is none of them.
struct TextTests {
    // MARK: Base64url

    @Test(
        arguments: [
            ("", []), ("Zg", [0x66]), ("Zm8", [0x66, 0x6F]), ("Zm9v", [0x66, 0x6F, 0x6F]), ("_-8", [0xFF, 0xEF]),
        ] as [(String, [UInt8])])
    func base64URLHasOneSpelling(text: String, bytes: [UInt8]) {
        #expect(Base64URL.encode(bytes) == text)
        #expect(Base64URL.decode(text.utf8) == bytes)
    }

    @Test(arguments: ["Z", "Zg==", "Zh", "Zm9", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v", "Zm9vA", "Zm9v.", "Zm9vö"])
    func otherSpellingsAreRefused(text: String) {
        // `Zm9` is `Zm8` with bits left over.
        #expect(Base64URL.decode(text.utf8) == nil)
    }

    // MARK: Static tokens

    @Test func aTokenIsReadBackAndItsDigestMatchesIt() throws {
        let token = StaticToken.make()
        let read = try #require(StaticToken(token.text))
        #expect(read.id == token.id && read.secret == token.secret)
        #expect(token.text.utf8.count == 73 && token.text.hasPrefix("sfl_"))
        let digest = TokenDigest(of: token.secret)
        #expect(digest.matches(read.secret))
        #expect(!digest.matches(StaticToken.make().secret))
        #expect(!digest.text.contains(token.secret) && digest != TokenDigest(of: token.secret))
        #expect(TokenDigest(digest.text) == digest)
    }

    @Test(arguments: [
        "", "sfl_", "sfl_x_y", "tok_aaaaaaaaaaaaaaaa", "' OR 1=1 --",
        "sfl_aaaaaaaaaaaaaaaa_" + String(repeating: "a", count: 51),
        "sfl_aaaaaaaaaaaaaaaa_" + String(repeating: "a", count: 53),
        "sfl_aaaaaaaaaaaaaaaA_" + String(repeating: "a", count: 52),
        "sfl_aaaaaaaaaaaaaaaa_" + String(repeating: "1", count: 52),
        "SFL_aaaaaaaaaaaaaaaa_" + String(repeating: "a", count: 52),
    ])
    func otherTextsAreNoTokens(text: String) { #expect(StaticToken(text) == nil) }

    @Test(arguments: ["", ".", "AAAA.AAAA", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA.AAAA"])
    func otherTextsAreNoDigests(text: String) { #expect(TokenDigest(text) == nil) }

    // MARK: Tickets

    private static let now = Timestamp(seconds: 1_790_000_000)
    private static let secret = Array("a secret of 32 bytes, more or so".utf8)

    private func ticket(_ bounds: TicketGrant.Bounds = .init(routes: ["images"])) -> Ticket {
        Ticket(
            principal: "tok_a", token: "tok_a", scopes: ["images", "more"], limits: ["partner"],
            claims: ["tenant": "\u{0}\"ö"], expiresAt: Self.now.advanced(byMilliseconds: 1000), bounds: bounds, epoch: 7
        )
    }

    @Test func aTicketSaysWhatItWasMadeFor() throws {
        let keys = try #require(SigningKeys(secrets: [Self.secret]))
        for bounds in [
            TicketGrant.Bounds(routes: ["images"]), TicketGrant.Bounds(job: "job_x", uses: 3),
            TicketGrant.Bounds(
                routes: ["a", "b"], model: "gpt-image-1", size: "auto", maximumCount: 2, origin: "https://app.example",
                uses: 1),
        ] {
            let ticket = self.ticket(bounds)
            let text = try #require(keys.sign(ticket))
            #expect(text.hasPrefix("sft_"))
            #expect(keys.ticket(text, now: Self.now) == ticket)
            #expect(keys.ticket(text, now: ticket.expiresAt) == nil)
        }
    }

    @Test func anyEditOfATicketMakesItNone() throws {
        let keys = try #require(SigningKeys(secrets: [Self.secret]))
        let text = try #require(keys.sign(self.ticket()))
        for index in text.utf8.indices {
            for other in ["A", "_", ".", "=", " "] where String(text[index]) != other {
                var edited = text
                edited.replaceSubrange(index...index, with: other)
                #expect(keys.ticket(edited, now: Self.now) == nil)
            }
        }
        for edited in [text + "A", String(text.dropLast()), "", "sft_.", text + "\n", text.replacing("sft_", with: "")]
        {
            #expect(keys.ticket(edited, now: Self.now) == nil)
        }
    }

    @Test func theFirstSecretSignsAndAllVerify() throws {
        let other = Array("another secret of many bytes".utf8)
        let old = try #require(SigningKeys(secrets: [Self.secret]))
        let both = try #require(SigningKeys(secrets: [other, Self.secret]))
        let new = try #require(SigningKeys(secrets: [other]))
        let text = try #require(old.sign(self.ticket()))
        #expect(both.ticket(text, now: Self.now) != nil)
        #expect(new.ticket(text, now: Self.now) == nil)
        #expect(try new.ticket(#require(both.sign(self.ticket())), now: Self.now) != nil)
        #expect(SigningKeys(secrets: []) == nil && SigningKeys(secrets: [[1, 2, 3]]) == nil)
    }

    @Test func aTicketThatCouldNotBeSentBackIsNotMade() throws {
        let keys = try #require(SigningKeys(secrets: [Self.secret]))
        #expect(keys.sign(self.ticket(.init(routes: [String(repeating: "a", count: 4000)]))) == nil)
    }

    // MARK: Session cookies

    @Test func aSessionIsReadBackForItsLifetimeAndIsNoTicket() throws {
        let keys = try #require(SigningKeys(secrets: [Self.secret]))
        let session = SessionCookie(issuedAt: Self.now)
        let value = session.value(keys)
        #expect(SessionCookie(value, keys: keys, now: Self.now) == session)
        let end = Timestamp(seconds: Self.now.seconds + SessionCookie.lifetime)
        #expect(SessionCookie(value, keys: keys, now: end) == nil)
        #expect(!session.isAging(at: Self.now) && session.isAging(at: end))
        #expect(SessionCookie("sfs_x.y", keys: keys, now: Self.now) == nil)
        #expect(keys.ticket(value.replacing("sfs_", with: "sft_"), now: Self.now) == nil)
        let ticket = try #require(keys.sign(self.ticket()))
        #expect(SessionCookie(ticket.replacing("sft_", with: "sfs_"), keys: keys, now: Self.now) == nil)
    }
}
