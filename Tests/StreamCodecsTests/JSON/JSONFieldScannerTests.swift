import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

/// What a scanner made of a document.
struct ScannedDocument: Equatable {
    var error: CodecError?
    var fields: [JSONField]
    let bytes: [UInt8]

    init(_ bytes: [UInt8], _ pieces: [Range<Int>], _ paths: [String], maximumNesting: Int = 512) {
        var scanner = JSONFieldScanner(JSONFieldPaths(paths), maximumNesting: maximumNesting)
        self.init(bytes, pieces, &scanner)
    }

    /// Every piece lies in memory of its own size, so that a sanitizer sees reads beyond it.
    init(_ bytes: [UInt8], _ pieces: [Range<Int>], _ scanner: inout JSONFieldScanner) {
        scanner.begin()
        for piece in pieces { Array(bytes[piece]).withUnsafeBytes { scanner.scan($0) } }
        scanner.end()
        self.error = scanner.error
        self.fields = scanner.fields
        self.bytes = bytes
    }

    func text(_ field: JSONField) -> String { String(decoding: self.bytes[field.range], as: UTF8.self) }

    /// `path:elements=text`, for short tables.
    var summary: [String] {
        self.fields.map { field in
            let elements = [field.elements.0, field.elements.1].filter { $0 >= 0 }.map { "[\($0)]" }.joined()
            return "\(field.path)\(elements)=\(self.text(field))"
        }
    }
}

@Suite struct JSONFieldScannerTests {
    static let vectors = SharedFiles.vectors.appendingPathComponent("json")

    /// Paths that match in some of the vectors, so that recording is at work too.
    static let somePaths = ["", "*", "*.*", "a", "a.b", "a.*", "title", "id", "b.*"]

    @Test(.enabled(if: SharedFiles.has(vectors), "needs the folder vectors/json"))
    func verdictsAtEverySplit() throws {
        var counts = ["y": 0, "n": 0, "i": 0]
        for name in SharedFiles.names(in: Self.vectors) where name.hasSuffix(".json") {
            let bytes = try SharedFiles.bytes(Self.vectors.appendingPathComponent(name))
            let verdict = String(name.prefix(1))
            counts[verdict, default: 0] += 1
            let whole = ScannedDocument(bytes, [0..<bytes.count], Self.somePaths)
            if verdict == "y" { #expect(whole.error == nil, "\(name)") }
            if verdict == "n" { #expect(whole.error != nil, "\(name)") }
            var scanner = JSONFieldScanner(JSONFieldPaths(Self.somePaths))
            for cut in ByteSplits.all(count: bytes.count) {
                #expect(ScannedDocument(bytes, cut, &scanner) == whole, "\(name), \(cut.first ?? 0..<0)")
            }
        }
        #expect(counts == ["y": 95, "n": 188, "i": 35])
    }

    /// For valid documents Foundation's parser is the judge of the wanted values.
    @Test(.enabled(if: SharedFiles.has(vectors), "needs the folder vectors/json"))
    func rootRangesAreWholeDocuments() throws {
        for name in SharedFiles.names(in: Self.vectors) where name.hasPrefix("y_") {
            let bytes = try SharedFiles.bytes(Self.vectors.appendingPathComponent(name))
            let scanned = ScannedDocument(bytes, [0..<bytes.count], [""])
            let field = try #require(scanned.fields.first, "\(name)")
            var expected = bytes.drop { $0 <= 0x20 }
            while let last = expected.last, last <= 0x20 { expected.removeLast() }
            let quotes = field.kind == .string ? 1 : 0
            #expect(field.range == expected.startIndex + quotes..<expected.endIndex - quotes, "\(name)")
        }
    }

    @Test(
        arguments: [
            (#"{"type":"x","n":1}"#, ["type"], ["0=x"]),
            (#"{"n":1,"type":"x"}"#, ["type", "n"], ["1=1", "0=x"]),
            (
                #" { "a" : { "b" : [ 1 , true ] } , "c" : null } "#, ["a.b", "a", "c"],
                ["1={ \"b\" : [ 1 , true ] }", "0=[ 1 , true ]", "2=null"]
            ),
            (#"{"b64\u005fjson":"AA=="}"#, ["b64_json"], ["0=AA=="]),
            (#"{"\u0062\u00364_json":"AA=="}"#, ["b64_json"], ["0=AA=="]),
            (#"{"b64_jso":1,"b64_jsonx":2,"b64_json":3,"B64_JSON":4}"#, ["b64_json"], ["0=3"]),
            (#"{"\ud83d\ude00":1,"😀":2,"\ud83d":3,"\ude00":4,"\ud83dx":5}"#, ["😀"], ["0=2"]),
            (#"{"a/b":1,"a\/b":2}"#, ["a/b"], ["0=2"]),
            (#"{"x":{"type":"no"},"y":[{"type":"no"}],"type":"yes"}"#, ["type"], ["0=yes"]),
            (#"{"x":"{\"type\":\"no\"}","type":"yes"}"#, ["type"], ["0=yes"]),
            (
                #"{"data":[{"b":"1"},{"c":"x","b":"2"},[{"b":"no"}],{"b":"3"}]}"#, ["data.*.b"],
                ["0[0]=1", "0[1]=2", "0[3]=3"]
            ),
            (#"[[1,2],[3],[],[[4]]]"#, ["*.*"], ["0[0][0]=1", "0[0][1]=2", "0[1][0]=3", "0[3][0]=[4]"]),
            (#"[[1,2],[3]]"#, ["*", "*.*"], ["0[0]=[1,2]", "1[0][0]=1", "1[0][1]=2", "0[1]=[3]", "1[1][0]=3"]),
            (#"{"a":{"*":1}}"#, ["a.*"], []),
            (#"{"":{"":5}}"#, ["."], ["0=5"]),
            (#"-0.5e+10"#, [""], ["0=-0.5e+10"]),
            (#"{"a":1}"#, ["a", "a"], ["0=1"]),
            (#"{"a":[]}"#, ["a.b", "a.*", "a.*.c"], []),
            // Duplicates: the last wins, with everything below it.
            (#"{"a":1,"a":2}"#, ["a"], ["0=2"]),
            (#"{"a":{"b":1},"a":{"c":2}}"#, ["a.b", "a.c", "a"], ["2={\"c\":2}", "1=2"]),
            (#"{"a":{"b":1},"a":null}"#, ["a.b"], []),
            (#"{"a":{"b":1,"b":2},"x":0,"a":{"b":3,"b":4}}"#, ["a.b"], ["0=4"]),
            (#"{"d":[{"u":1,"u":2},{"u":3}],"t":1,"t":2}"#, ["d.*.u", "t"], ["0[0]=2", "0[1]=3", "1=2"]),
            (#"{"d":[{"u":1}],"d":[{"u":5},{"v":6}]}"#, ["d.*.u", "d.*.v"], ["0[0]=5", "1[1]=6"]),
            (#"{"a":1,"b":2,"\u0061":3}"#, ["a", "b"], ["1=2", "0=3"]),
        ] as [(String, [String], [String])])
    func wantedValues(_ text: String, _ paths: [String], _ expected: [String]) {
        let bytes = Array(text.utf8)
        for cut in ByteSplits.all(count: bytes.count) {
            let scanned = ScannedDocument(bytes, cut, paths)
            #expect(scanned.error == nil && scanned.summary == expected, "\(cut.first ?? 0..<0)")
        }
    }

    @Test(
        arguments: [
            ("AAAA", 0, false), ("AA==", 0, false), ("", 0, false), ("A+/9", 0, false), ("AA-_", 4, false),
            ("A=A", 2, false),
            ("AA===", 5, false), ("A A", 2, false), ("data:image/png;base64,iVBO", 22, false), ("AAé", nil, false),
            ("A\\/A", nil, true), ("a b c d==", 6, false), ("x:==", 2, false),
            (String(repeating: "Z", count: 300) + ".", nil, false), (String(repeating: "Z", count: 300), 0, false),
            (String(repeating: "word ", count: 100) + "AAAA", nil, false),
        ] as [(String, Int?, Bool)])
    func base64Text(_ text: String, _ start: Int?, _ hasEscapes: Bool) throws {
        let bytes = Array("{\"k\":\"\(text)\"}".utf8)
        for cut in ByteSplits.all(count: bytes.count) {
            let field = try #require(ScannedDocument(bytes, cut, ["k"]).fields.first)
            #expect(
                field.base64Start == start.map { $0 + 6 } && field.hasEscapes == hasEscapes, "\(cut.first ?? 0..<0)")
            #expect(field.isBase64 == (start == 0))
        }
    }

    @Test func lookups() {
        let text = #"{"d":[{"u":"1"},{"u":"2"}],"t":"x","t":"y"}"#
        let bytes = Array(text.utf8)
        var scanner = JSONFieldScanner(JSONFieldPaths(["d.*.u", "t", "t", "none"]))
        let scanned = ScannedDocument(bytes, [0..<bytes.count], &scanner)
        #expect(scanner.all(0).map(scanned.text) == ["1", "2"])
        #expect(scanner.last(0).map(scanned.text) == "2")
        #expect(scanner.last(1).map(scanned.text) == "y" && scanner.last(2).map(scanned.text) == "y")
        #expect(scanner.last(3) == nil && scanner.all(3).isEmpty)
        scanner.begin()
        #expect(scanner.fields.isEmpty && scanner.last(1) == nil)
    }

    @Test func offsetsOfFaults() {
        let cases: [(String, CodecError)] = [
            ("", .invalidJSON(offset: 0)), ("  ", .invalidJSON(offset: 2)), ("{\"a\":tru3}", .invalidJSON(offset: 8)),
            ("[1,]", .invalidJSON(offset: 3)), ("[1", .invalidJSON(offset: 2)), ("1 2", .invalidJSON(offset: 2)),
            ("\"a\nb\"", .invalidJSON(offset: 2)), ("\u{FEFF}1", .invalidJSON(offset: 0)),
            ("[[[]]]", .nestingTooDeep(offset: 2, limit: 2)), ("{\"a\":[{}]}", .nestingTooDeep(offset: 6, limit: 2)),
        ]
        for (text, error) in cases {
            let bytes = Array(text.utf8)
            for cut in ByteSplits.all(count: bytes.count) {
                #expect(ScannedDocument(bytes, cut, ["a", "*"], maximumNesting: 2).error == error, "\(text)")
            }
        }
    }
}
