import StreamCodecs
import Testing

@Suite struct EntityTagTests {
    private static let tag = EntityTag(strong: "abc")

    @Test(arguments: [
        (#""abc""#, "abc", false), (#"W/"abc""#, "abc", true), (#""""#, "", false), (#""a,b""#, "a,b", false),
        (#""\""#, "\\", false), ("\"é\"", "é", false),
    ]) func reads(_ text: String, _ opaque: String, _ isWeak: Bool) throws {
        let tag = try #require(EntityTag(text))
        #expect(tag.opaque == opaque)
        #expect(tag.isWeak == isWeak)
        #expect(tag.text == text)
    }

    @Test(arguments: [
        "", "abc", "\"abc", "abc\"", "w/\"abc\"", "W/abc", "W/ \"abc\"", "\"a\"b\"", "\"a b\"", "\"a\" ", " \"a\"",
        "\"a\",\"b\"", "\"a\u{7F}\"", "*", "Sat, 29 Oct 1994 19:43:31 GMT", "W/", "\"",
    ]) func isNoTag(_ text: String) {
        #expect(EntityTag(text) == nil)
    }

    @Test(arguments: [
        (#""abc""#, true, true), (#"W/"abc""#, false, true), ("*", true, true), (#""x", "abc""#, true, true),
        (#""x","abc""#, true, true), (#" , "x" ,, "abc" ,"#, true, true), (#"W/"x", W/"abc""#, false, true),
        (#""abc,""#, false, false), (#""x,abc""#, false, false), (#""ABC""#, false, false), (#""x""#, false, false),
    ]) func matches(_ field: String, _ strongly: Bool, _ weakly: Bool) throws {
        let condition = try #require(EntityTagCondition(field: field))
        #expect(condition.stronglyMatches(Self.tag) == strongly)
        #expect(condition.weaklyMatches(Self.tag) == weakly)
    }

    @Test(arguments: [
        "", " ", ",", "abc", "*, \"abc\"", "\"abc\" \"x\"", "\"abc\"x", "\"abc\", x", "**", "* ", "\"abc\"\"x\"",
    ]) func isNoCondition(_ field: String) {
        #expect(EntityTagCondition(field: field) == nil)
    }

    @Test func weakTagsAreNeverTheSameBytes() {
        let weak = EntityTag("W/\"abc\"")
        #expect(weak?.stronglyMatches(Self.tag) == false)
        #expect(Self.tag.stronglyMatches(Self.tag))
        #expect(weak?.weaklyMatches(Self.tag) == true)
    }

    @Test func aLongListIsReadInOnePass() throws {
        let field = String(repeating: "\"x\", ", count: 3000) + "\"abc\""
        #expect(try #require(EntityTagCondition(field: field)).weaklyMatches(Self.tag))
    }
}
