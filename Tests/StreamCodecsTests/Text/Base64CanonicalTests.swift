import NIOCore
import StreamCodecs
import Testing

@Suite struct Base64CanonicalTests {
    private static let long = String(repeating: "iVBORw0KGgo/+A9z", count: 500)

    /// JSON string content and its canonical text; nil where it must be refused.
    static let cases: [(String, String?)] = [
        ("", ""), ("AAAA", "AAAA"), ("AAA=", "AAA="), ("AA==", "AA=="), ("AAA", "AAA="), ("AA", "AA=="),
        ("AA=", "AA=="),
        ("A", nil), ("AAAAA", nil), ("A===", nil), ("=", nil), ("==", nil), ("AAAA=", nil), ("AAA==", nil),
        ("AA=A", nil),
        ("AA==AA==", nil), ("AA-_", nil), ("AA AA", nil), ("AAAé", nil), ("AA.A", nil), ("AAA\\\\", nil),
        ("AAA\\\"", nil),
        (long, long), (long + "AA", long + "AA=="),
        ("data:image/png;base64,AAAA", "AAAA"), ("DATA:image/PNG;charset=utf-8;BASE64,AAA", "AAA="),
        ("data:;base64,AA", "AA=="), ("data:;base64,", ""), ("data:image/png,AAAA", nil),
        ("data:image/png;base64", nil),
        ("data:image/png;base64,AA,A", nil), ("data:a,b;base64,AAAA", nil), ("data", "data"), ("dataAA", "dataAA=="),
        ("date:image/png;base64,AAAA", nil), ("data:image/png;base64,data:image/png;base64,AAAA", nil),
        ("data:" + String(repeating: "x", count: 300) + ";base64,AAAA", nil),
        // The slow path.
        ("A\\/A/", "A/A/"), ("AA\\/\\/AA", "AA//AA=="), ("AAAA\\r\\nAAAA\\n", "AAAAAAAA"), ("AA\\n==", "AA=="),
        ("AA=\\n=", "AA=="), ("\\u0041\\u002bAA", "A+AA"), ("AA\\u003d\\u003D", "AA=="), ("AA\\u00e9A", nil),
        ("AA\\tAA", nil), ("AA\\u0000A", nil), ("A\\n", nil), ("A\\/=A", nil),
        ("data:image\\/png;base64,A\\/AA", "A/AA"), ("\\u0064ata:image\\/png;base64,AA", "AA=="),
        (long + "\\n" + long, long + long), (long + "\\/A", long + "/A=="),
    ]

    @Test(arguments: cases)
    func ofFields(_ content: String, _ expected: String?) throws {
        for tail in ["", ",\"after\":\"value\""] {
            var document = ByteBuffer(string: "##{\"before\":\"text\",\"k\":\"\(content)\"\(tail)}")
            document.moveReaderIndex(forwardBy: 2)
            let fields = try self.fields(document, ["k", "before", "after"])
            let field = try #require(fields.first { $0.path == 0 })
            self.expect(expected, "\(content) \(tail)") { () throws(CodecError) in
                try Base64.canonical(field, in: &document)
            }
            for other in fields where other.path > 0 {
                let text = other.path == 1 ? "text" : "value"
                #expect(JSONValueReader.string(other, in: document) == text)
            }
        }
    }

    @Test(arguments: cases)
    func ofRootsAndArrays(_ content: String, _ expected: String?) throws {
        var root = ByteBuffer(string: "\"\(content)\"")
        let field = try #require(try self.fields(root, [""]).first)
        self.expect(expected, content) { () throws(CodecError) in try Base64.canonical(field, in: &root) }

        var array = ByteBuffer(string: "[\"\(content)\",\"\(content)\"]")
        for element in try self.fields(array, ["*"]) {
            self.expect(expected, content) { () throws(CodecError) in try Base64.canonical(element, in: &array) }
        }
    }

    @Test func ofFreeText() {
        for (content, expected) in Self.cases where !content.contains("\\") {
            let text = ByteBuffer(string: content)
            self.expect(expected, content) { () throws(CodecError) in try Base64.canonical(text: text) }
            #expect(String(buffer: text) == content)
        }
        for (content, expected) in [
            ("AAAA\r\nAAAA\n", "AAAAAAAA"), ("AA\n", "AA=="), ("A\\/A", nil), ("AA\u{0}A", nil),
        ] {
            self.expect(expected, content) { () throws(CodecError) in
                try Base64.canonical(text: ByteBuffer(string: content))
            }
        }
    }

    @Test func cleanTextIsNotCopied() throws {
        for (head, tail) in [("", ""), ("", "AA"), ("data:image/png;base64,", "")] {
            var document = ByteBuffer(string: "{\"k\":\"\(head)\(Self.long)\(tail)\",\"n\":1}")
            let field = try #require(try self.fields(document, ["k"]).first)
            let before = document.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
            let text = try Base64.canonical(field, in: &document)
            let after = text.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
            #expect(after == before + UInt(6 + head.utf8.count))
        }
    }

    /// A shared document is left as it was: the padding goes into a copy.
    @Test func sharedDocumentsKeepTheirBytes() throws {
        let original = ByteBuffer(string: "{\"k\":\"AA\",\"n\":1}")
        var document = original
        let field = try #require(try self.fields(document, ["k"]).first)
        #expect(String(buffer: try Base64.canonical(field, in: &document)) == "AA==")
        #expect(String(buffer: original) == "{\"k\":\"AA\",\"n\":1}")
    }

    @Test func offsetsOfFaults() throws {
        var document = ByteBuffer(string: "{\"k\":\"AAAA.AAA\"}")
        let field = try #require(try self.fields(document, ["k"]).first)
        #expect(throws: CodecError.notBase64(offset: 10)) { try Base64.canonical(field, in: &document) }
        let number = JSONField(path: 0, kind: .number, range: 3..<4)
        #expect(throws: CodecError.notBase64(offset: 3)) { try Base64.canonical(number, in: &document) }
        let foreign = JSONField(path: 0, kind: .string, range: 3..<400, base64Start: 3)
        #expect(throws: CodecError.notBase64(offset: 3)) { try Base64.canonical(foreign, in: &document) }
    }

    private func fields(_ document: ByteBuffer, _ paths: [String]) throws -> [JSONField] {
        var scanner = JSONFieldScanner(JSONFieldPaths(paths))
        scanner.begin()
        document.withUnsafeReadableBytes { scanner.scan($0) }
        scanner.end()
        try #require(scanner.error == nil)
        return scanner.fields
    }

    private func expect(
        _ expected: String?, _ context: String, _ body: () throws(CodecError) -> ByteBuffer
    ) {
        do {
            let text = try body()
            #expect(String(buffer: text) == expected, "\(context)")
        } catch {
            guard case .notBase64 = error else {
                Issue.record("\(error) for \(context)")
                return
            }
            #expect(expected == nil, "\(context)")
        }
    }
}
