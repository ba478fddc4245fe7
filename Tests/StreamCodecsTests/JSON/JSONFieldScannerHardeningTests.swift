import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct JSONFieldScannerHardeningTests {
    private func scan(_ text: String, _ scanner: inout JSONFieldScanner) -> ScannedDocument {
        let bytes = Array(text.utf8)
        return ScannedDocument(bytes, ByteSplits.pieces(of: 4096, count: bytes.count), &scanner)
    }

    @Test func nestingIsBounded() {
        var scanner = JSONFieldScanner(JSONFieldPaths(["*.*"]), maximumNesting: 512)
        let fits = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        #expect(self.scan(fits, &scanner).error == nil)
        #expect(self.scan("[" + fits + "]", &scanner).error == .nestingTooDeep(offset: 512, limit: 512))
        let open = String(repeating: "{\"a\":", count: 100_000)
        #expect(self.scan(open, &scanner).error == .nestingTooDeep(offset: 512 * 5, limit: 512))
    }

    @Test func wantedValuesAreBounded() {
        var scanner = JSONFieldScanner(JSONFieldPaths(["*", "*.*"]), maximumFields: 100)
        func list(_ count: Int) -> String { "[" + Array(repeating: "1", count: count).joined(separator: ",") + "]" }
        #expect(self.scan(list(100), &scanner).error == nil)
        #expect(self.scan(list(101), &scanner).error == .tooManyValues(limit: 100))
        #expect(
            self.scan("[" + Array(repeating: "[]", count: 101).joined(separator: ",") + "]", &scanner).error
                == .tooManyValues(limit: 100))
        #expect(scanner.fields.count <= 101)
    }

    /// Duplicates in the worst order: neither time nor memory may grow faster than the document.
    @Test func duplicatesWithoutEnd() {
        var scanner = JSONFieldScanner(JSONFieldPaths(["d.*", "x.z", "y.z", "t"]))
        let head = "{\"d\":[" + Array(repeating: "1", count: 20_000).joined(separator: ",") + "]"
        let same = String(repeating: ",\"t\":1", count: 40_000)
        let scanned = self.scan(head + same + "}", &scanner)
        #expect(scanned.error == nil && scanned.fields.count == 20_001)
        let alternating = String(repeating: ",\"x\":0,\"y\":0", count: 200_000)
        #expect(self.scan(head + alternating + "}", &scanner).error == .tooManyValues(limit: 65_536))
    }

    @Test func keysOfAnyLength() {
        var scanner = JSONFieldScanner(JSONFieldPaths(["key"]))
        let long = String(repeating: "k", count: 1 << 20)
        let escaped = String(repeating: "\\u006b", count: 1 << 16)
        let scanned = self.scan("{\"\(long)\":1,\"\(escaped)\":2,\"key\":3}", &scanner)
        #expect(scanned.error == nil && scanned.summary == ["0=3"])
    }

    /// More wanted keys in one object than a word has bits.
    @Test func manyWantedKeys() {
        let names = (0..<100).map { "k\($0)" }
        var scanner = JSONFieldScanner(JSONFieldPaths(names))
        let members = (names + names.reversed()).enumerated().map { "\"\($1)\":\($0)" }
        let scanned = self.scan("{" + members.joined(separator: ",") + "}", &scanner)
        #expect(scanned.summary == (0..<100).map { "\(99 - $0)=\(100 + $0)" })
    }

    @Test func everyByteInEveryPlace() {
        let templates = [
            #"{"a":"?"}"#, #"{"?":1}"#, "[?]", "[1?]", #"{"a"?1}"#, #"["\?"]"#, #"["\u00?0"]"#, "[\"é?\"]",
        ]
        for template in templates {
            for byte in UInt8.min...UInt8.max {
                let bytes = Array(template.utf8).map { $0 == UInt8(ascii: "?") ? byte : $0 }
                let whole = ScannedDocument(bytes, [0..<bytes.count], ["a", "*"])
                for cut in ByteSplits.all(count: bytes.count) {
                    #expect(ScannedDocument(bytes, cut, ["a", "*"]) == whole, "\(template) \(byte)")
                }
            }
        }
    }
}
