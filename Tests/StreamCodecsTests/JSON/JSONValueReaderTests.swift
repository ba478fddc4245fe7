import NIOCore
import StreamCodecs
import Testing

@Suite struct JSONValueReaderTests {
    /// The root value of a document that stands behind some bytes which are already read.
    private func root(_ text: String) throws -> (JSONField, ByteBuffer) {
        var document = ByteBuffer(string: "##" + text)
        document.moveReaderIndex(forwardBy: 2)
        var scanner = JSONFieldScanner(JSONFieldPaths([""]))
        scanner.begin()
        document.withUnsafeReadableBytes { scanner.scan($0) }
        scanner.end()
        return (try #require(scanner.last(0)), document)
    }

    @Test(arguments: [
        (#""plain""#, "plain"), (#""""#, ""), (#""é😀""#, "é😀"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0041\u00e9\u20ac\ud83d\ude00""#, "Aé€😀"), (#""\ud83d""#, "\u{FFFD}"), (#""\ude00x""#, "\u{FFFD}x"),
        (#""\ud83d\ud83d\ude00""#, "\u{FFFD}😀"), (#""\u0000""#, "\0"),
    ])
    func strings(_ text: String, _ expected: String) throws {
        let (field, document) = try self.root(text)
        let got = try #require(JSONValueReader.string(field, in: document))
        #expect(Array(got.utf8) == Array(expected.utf8))
        #expect(JSONValueReader.integer(field, in: document) == nil)
        #expect(JSONValueReader.double(field, in: document) == nil)
    }

    @Test(
        arguments: [
            ("14", 14), ("14.0", 14), ("1.4e1", 14), ("140e-1", 14), ("0", 0), ("-0", 0), ("0e999999999999", 0),
            ("1.5", nil),
            ("9223372036854775807", .max), ("9223372036854775808", nil), ("-9223372036854775808", .min), ("1e-1", nil),
            ("-9223372036854775809", nil), ("1e18", 1_000_000_000_000_000_000), ("1e19", nil),
            ("1e999999999999999999999", nil),
            ("1" + String(repeating: "0", count: 40) + "e-40", 1),
        ] as [(String, Int64?)])
    func integers(_ text: String, _ expected: Int64?) throws {
        let (field, document) = try self.root(text)
        #expect(JSONValueReader.integer(field, in: document) == expected)
    }

    @Test(arguments: [("0.5", 0.5), ("-1e3", -1000), ("1E-2", 0.01), ("1e400", nil), ("0", 0)] as [(String, Double?)])
    func doubles(_ text: String, _ expected: Double?) throws {
        let (field, document) = try self.root(text)
        #expect(JSONValueReader.double(field, in: document) == expected)
        #expect(JSONValueReader.string(field, in: document) == nil)
    }

    @Test(arguments: [
        (#""done""#, true), (#""d\u006fne""#, true), (#""don""#, false), (#""donee""#, false),
        (#""d\u006fnee""#, false),
        (#""""#, false), (#""\u0064\u006f\u006e\u0065""#, true), (#""\ud83d\ude00""#, false), ("1", false),
    ])
    func equality(_ text: String, _ expected: Bool) throws {
        let (field, document) = try self.root(text)
        #expect(JSONValueReader.equals(field, "done", in: document) == expected)
    }

    @Test func slicesShareTheDocument() throws {
        let (field, document) = try self.root(#"  {"a": [1, 2]}  "#)
        #expect(String(buffer: JSONValueReader.slice(field, in: document)) == #"{"a": [1, 2]}"#)
        let foreign = JSONField(path: 0, kind: .string, range: 5..<1000, hasEscapes: true)
        #expect(JSONValueReader.slice(foreign, in: document).readableBytes == 0)
        #expect(JSONValueReader.integer(JSONField(path: 0, kind: .number, range: 90..<1000), in: ByteBuffer()) == nil)
    }
}
