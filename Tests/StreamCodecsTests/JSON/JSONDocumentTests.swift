import NIOCore
import StreamCodecs
import Testing

@Suite struct JSONDocumentTests {
    private func parse(
        _ text: String, maximumNesting: Int = 128, duplicateKeys: JSONDocument.DuplicateKeys = .refuse
    ) throws -> JSONNode {
        try JSONDocument(
            ByteBuffer(string: text), maximumNesting: maximumNesting, duplicateKeys: duplicateKeys
        ).root
    }

    private func failure(_ bytes: [UInt8], maximumNesting: Int = 128, maximumNodes: Int = 1 << 20) -> JSONSyntaxError? {
        do {
            _ = try JSONDocument(
                ByteBuffer(bytes: bytes), maximumNesting: maximumNesting, maximumNodes: maximumNodes)
            return nil
        } catch {
            return error
        }
    }

    @Test func readsEveryKind() throws {
        let root = try self.parse(
            #" {"o": {"x": []}, "a": [1, "two", null, true, false, {}], "s": "t\u00e9xt", "n": -1.5e3} "#)
        #expect(root.kind == .object)
        #expect(root.members.map(\.key) == ["o", "a", "s", "n"])
        #expect(root["o"]?["x"]?.kind == .array)
        #expect(root["o"]?["x"]?.elements.isEmpty == true)
        let elements = try #require(root["a"]?.elements)
        #expect(elements.map(\.kind) == [.number, .string, .null, .boolean, .boolean, .object])
        #expect(elements[0].integer == 1)
        #expect(elements[1].string == "two")
        #expect(elements[2].isNull)
        #expect(elements.map(\.boolean) == [nil, nil, nil, true, false, nil])
        #expect(root["s"]?.string == "t\u{E9}xt")
        #expect(root["n"]?.double == -1500)
        #expect(root["n"]?.integer == -1500)
        #expect(root["missing"] == nil)
        #expect(elements[0]["x"] == nil)
        #expect(root["s"]?.integer == nil)
        #expect(root["n"]?.string == nil)
    }

    @Test func rangesAndRawTextAreThoseOfTheSource() throws {
        let text = #"xx{"key" : [1, 2 ] , "b":"q\"" }"#
        var source = ByteBuffer(string: text)
        source.moveReaderIndex(forwardBy: 2)
        let root = try JSONDocument(source).root
        #expect(root.range == 0..<text.utf8.count - 2)
        let list = try #require(root["key"])
        #expect(list.range == 9..<16)
        #expect(String(buffer: list.raw) == "[1, 2 ]")
        #expect(root.members[0].keyRange == 1..<6)
        #expect(root["b"]?.stringSlice == ByteBuffer(string: "q\""))
        #expect(root["b"].map { String(buffer: $0.raw) } == #""q\"""#)
    }

    @Test(arguments: [
        (#""plain""#, "plain"), (#""""#, ""), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0041\u00Df\u20aC""#, "A\u{DF}\u{20AC}"), (#""\ud83d\ude00!""#, "\u{1F600}!"),
        (#""\uD83D""#, "\u{FFFD}"), (#""\ude00x""#, "\u{FFFD}x"), (#""\uD83D\uD83D\uDE00""#, "\u{FFFD}\u{1F600}"),
        (#""\ud83dx\u0041""#, "\u{FFFD}xA"), (#""\u0000""#, "\0"), (#""a\u2028b""#, "a\u{2028}b"),
        ("\"gr\u{FC}\u{DF} \u{1F3A8} \u{7F}\"", "gr\u{FC}\u{DF} \u{1F3A8} \u{7F}"),
    ])
    func unescapes(text: String, expected: String) throws {
        let node = try self.parse(text)
        #expect(node.string.map { Array($0.utf8) } == Array(expected.utf8))
        #expect(node.stringSlice == ByteBuffer(string: expected))
    }

    @Test func keysAreComparedUnescaped() throws {
        let root = try self.parse(#"{"\u0061b": 1, "é": 2, "e\u0301": 3}"#)
        #expect(root["ab"]?.integer == 1)
        #expect(root["\u{E9}"]?.integer == 2)
        #expect(root["e\u{301}"]?.integer == 3, "canonically equivalent text is still another key")
    }

    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("14", 14), ("14.0", 14), ("1.4e1", 14), ("1400e-2", 14), ("0.00e99999", 0),
            ("0e-99999999999999999999", 0), ("9223372036854775807", Int64.max), ("-9223372036854775808", Int64.min),
            ("922337203685477580.7e1", Int64.max), ("1E+2", 100), ("9223372036854775808", nil), ("1.5", nil),
            ("1e-1", nil),
            ("1e19", nil), ("-9223372036854775809", nil), ("1e99999999999999999999", nil), ("10000000000e-9", 10),
            ("0.0000001e7", 1), ("123456789012345678901234567890e-29", nil),
        ] as [(String, Int64?)])
    func integers(text: String, expected: Int64?) throws {
        #expect(try self.parse(text).integer == expected)
    }

    @Test(
        arguments: [
            ("0.1", 0.1), ("-2.5E-3", -0.0025), ("1e308", 1e308), ("5e-324", .leastNonzeroMagnitude), ("1e400", nil),
            ("12", 12),
        ] as [(String, Double?)])
    func doubles(text: String, expected: Double?) throws {
        #expect(try self.parse(text).double == expected)
    }

    @Test(arguments: [
        ("", 1, 1, "the document ends where a value should be"),
        (" \n ", 2, 2, "the document ends where a value should be"),
        ("{\"a\":1,}", 1, 8, "expected a key in double quotes"), ("[1,]", 1, 4, "expected a value"),
        ("[1 2]", 1, 4, "expected ',' or ']'"), ("{\"a\" 1}", 1, 6, "expected ':'"),
        ("{\"a\":1", 1, 7, "the document ends inside an object"),
        ("[\n  1,\n  oops\n]", 3, 3, "expected a value"), ("[\r\n\r\n  x]", 3, 3, "expected a value"),
        ("[\r\rx]", 3, 1, "expected a value"), ("\"\u{E9}\u{1F600}\" x", 1, 6, "text behind the document's end"),
        ("01", 1, 1, "number with a leading zero"), ("1.", 1, 3, "expected a digit"), ("-", 1, 2, "expected a digit"),
        ("1e+", 1, 4, "expected a digit"), ("\"a\nb\"", 1, 3, "control character in a string; it must be escaped"),
        ("\"\\x\"", 1, 2, "invalid escape"), ("\"\\u12G4\"", 1, 2, "invalid escape"),
        ("\"abc", 1, 1, "string without an end"),
        ("\"\\", 1, 2, "invalid escape"), ("tru", 1, 1, "expected a value"), ("nulL", 1, 1, "expected a value"),
        ("{\"a\":{\"b\":1,\n \"b\":2}}", 2, 2, "duplicate key \"b\""),
        ("\u{FEFF}{}", 1, 1, "byte order mark before the document"),
        ("// no\n{}", 1, 1, "expected a value"), ("{'a':1}", 1, 2, "expected a key in double quotes"),
        ("[1}", 1, 3, "expected ',' or ']'"),
    ])
    func errorsCarryLineColumnAndReason(text: String, line: Int, column: Int, message: String) throws {
        let error = try #require(self.failure(Array(text.utf8)))
        #expect(error.line == line)
        #expect(error.column == column)
        #expect(error.message == message)
    }

    @Test(
        arguments: [
            [0xFF], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x9F, 0xBF], [0xED, 0xA0, 0x80], [0xF0, 0x8F, 0xBF, 0xBF],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xC3],
        ] as [[UInt8]])
    func refusesIllFormedUTF8(sequence: [UInt8]) throws {
        for padding in 0..<9 {
            let text = [0x22] + [UInt8](repeating: 0x61, count: padding) + sequence
            #expect(self.failure(text + [0x22])?.offset == padding + 1)
            #expect(self.failure(text) != nil)
        }
    }

    @Test func positionsOfNodes() throws {
        let root = try self.parse("{\n  \"\u{E9}\": [\r\n    true ]\n}")
        let list = try #require(root["\u{E9}"])
        #expect(list.position == (2, 8))
        #expect(list.elements[0].position == (3, 5))
        #expect(root.position(of: root.members[0].keyRange.lowerBound) == (2, 3))
    }

    @Test func nestingIsBounded() throws {
        let deepest = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
        #expect(try self.parse(deepest).kind == .array)
        let error = try #require(self.failure(Array("[\(deepest)]".utf8)))
        #expect(error.offset == 128)
        #expect(error.message == "nested deeper than 128 containers")
        let alternating = String(repeating: "{\"a\":[", count: 50_000)
        #expect(self.failure(Array(alternating.utf8))?.offset == 64 * 6)
        #expect(self.failure(Array(alternating.utf8), maximumNesting: .max) != nil)
    }

    @Test func nodesAreBounded() throws {
        #expect(self.failure(Array("[1,2,3]".utf8), maximumNodes: 4) == nil)
        #expect(self.failure(Array("[1,2,3,4]".utf8), maximumNodes: 4)?.message == "more than 4 values")
    }

    @Test(arguments: [
        #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, #"{"a":[],"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"a":{}}"#,
        #"{"":1,"":2}"#,
    ])
    func duplicateKeys(text: String) throws {
        #expect(self.failure(Array(text.utf8))?.message.hasPrefix("duplicate key") == true)
        let root = try self.parse(text, duplicateKeys: .last)
        let keys = root.members.map(\.key)
        #expect(Set(keys).count == keys.count)
        let first = try #require(root.members.first)
        #expect(root[first.key]?.range == first.value.range)
        #expect(first.value.integer == 2 || first.value.kind == .object)
    }

    @Test func anEscapedDuplicateIsNotQuoted() throws {
        #expect(self.failure(Array(#"{"\n":1,"\n":2}"#.utf8))?.message == "duplicate key")
    }

    @Test func equalKeysInDifferentObjectsAreFine() throws {
        #expect(try self.parse(#"[{"a":1},{"a":{"a":2}},{"a":3}]"#).elements.count == 3)
    }

    @Test func everyCutOfAValidDocumentIsRefused() throws {
        let text = Array(#"{"a":[1.5e+3,"x\u00e9\n",{"b":null}],"c":true}"#.utf8)
        for end in 0..<text.count {
            let error = try #require(self.failure(Array(text[..<end])))
            #expect(error.offset <= end)
        }
    }

    @Test func everySingleByteChangeEndsInAValueOrAnError() throws {
        let text = Array(#"{"a":[1.5e+3,"x\u00e9",{"b":null}],"c":true}"#.utf8)
        for index in text.indices {
            for byte in UInt8.min...UInt8.max {
                var changed = text
                changed[index] = byte
                guard let document = try? JSONDocument(ByteBuffer(bytes: changed)) else { continue }
                #expect(document.root.range.count <= text.count)
                _ = document.root.members.map { ($0.key, $0.value.string, $0.value.integer, $0.value.elements) }
            }
        }
    }
}
