import HTTPTypes
import Testing

@testable import Transport

@Suite struct ResponseHeadParserTests {
    private func feed(_ lines: [String]) -> (heads: [UpstreamResponseHead], malformed: [String]) {
        var parser = ResponseHeadParser()
        var heads: [UpstreamResponseHead] = []
        var malformed: [String] = []
        for line in lines {
            var bytes = Array(line.utf8)
            switch bytes.withUnsafeMutableBytes({ parser.consume(line: UnsafeRawBufferPointer($0)) }) {
            case .incomplete: continue
            case .complete(let head): heads.append(head)
            case .malformed(let detail): malformed.append(detail)
            }
        }
        return (heads, malformed)
    }

    @Test func readsStatusAndFields() {
        let (heads, malformed) = self.feed([
            "HTTP/1.1 200 OK\r\n", "Content-Type: image/png \r\n", "X-Twice: a\r\n", "x-twice:\tb\r\n", "Empty:\r\n",
            "bad name: x\r\n", "no colon\r\n", "\r\n", "Trailer: ignored\r\n", "\r\n",
        ])
        #expect(malformed.isEmpty)
        #expect(heads.count == 1)
        #expect(heads.first?.status == 200)
        #expect(heads.first?.headers[.contentType] == "image/png")
        #expect(heads.first?.headers[values: HTTPField.Name("X-Twice")!] == ["a", "b"])
        #expect(heads.first?.headers[HTTPField.Name("Empty")!] == "")
        #expect(heads.first?.headers.count == 4)
    }

    @Test(arguments: ["HTTP/2 204 \r\n", "HTTP/1.0 204\r\n", "HTTP/1.1  204 No Content\n"])
    func statusLines(line: String) {
        #expect(self.feed([line, "\r\n"]).heads.first?.status == 204)
    }

    @Test(arguments: ["HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 abc", "HTTP/1.1", "ICY 200 OK", "HTTP/1.1 099 x"])
    func badStatusLines(line: String) {
        let (heads, malformed) = self.feed([line + "\r\n"])
        #expect(heads.isEmpty)
        #expect(malformed.count == 1)
    }

    @Test func skipsInformationalHeads() {
        let (heads, _) = self.feed([
            "HTTP/1.1 100 Continue\r\n", "\r\n", "HTTP/1.1 103 Early Hints\r\n", "Link: </x>\r\n", "\r\n",
            "HTTP/1.1 429 Slow\r\n", "Retry-After: 3\r\n", "\r\n",
        ])
        #expect(heads.map(\.status) == [429])
        #expect(heads.first?.headers.count == 1)
    }

    @Test func unfoldsFields() {
        let (heads, _) = self.feed([
            "HTTP/1.1 200 OK\r\n", " stray\r\n", "A: one\r\n", "  two\r\n", "\tthree\r\n", "\r\n",
        ])
        #expect(heads.first?.headers[HTTPField.Name("A")!] == "one two three")
    }

    @Test func boundsTheHead() {
        let line = "X-Filler: " + String(repeating: "x", count: 1012) + "\r\n"
        let lines = ["HTTP/1.1 200 OK\r\n"] + Array(repeating: line, count: 256)
        #expect(self.feed(lines).malformed.count == 1)
        #expect(self.feed(lines.dropLast() + ["\r\n"]).heads.count == 1)
    }
}
