import NIOCore
import StreamCodecs
import Testing

@Suite struct JSONWriterTests {
    private func written(asciiOnly: Bool = false, _ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter(asciiOnly: asciiOnly)
        body(&writer)
        return String(buffer: writer.buffer)
    }

    @Test func commasAndNesting() {
        let text = self.written { json in
            json.beginObject()
            json.field("a", 1)
            json.key("b")
            json.beginArray()
            json.value("x")
            json.beginObject()
            json.endObject()
            json.beginArray()
            json.endArray()
            json.null()
            json.value(staticText: "s\n")
            json.endArray()
            json.field("left_out", nil as String?)
            json.field("c", true)
            json.field("d", 1.5)
            json.field("e", Int64.min)
            json.field("f", UInt64.max)
            json.key(dynamic: "q\"")
            json.value(raw: ByteBuffer(string: "[1, 2]"))
            json.field("g", staticText: "t")
            json.field("h", raw: ByteBuffer(string: "{}"))
            json.field("i", "text")
            json.endObject()
        }
        #expect(
            text == #"{"a":1,"b":["x",{},[],null,"s\n"],"c":true,"d":1.5,"e":-9223372036854775808,"#
                + #""f":18446744073709551615,"q\"":[1, 2],"g":"t","h":{},"i":"text"}"#)
    }

    @Test func documentsAtTheTopLevelAreNotJoined() {
        let text = self.written { json in
            json.value(1)
            json.buffer.writeString("\n")
            json.beginObject()
            json.endObject()
            json.buffer.writeString("\n")
            json.value("x")
        }
        #expect(text == "1\n{}\n\"x\"")
    }

    @Test func appendsToTheGivenBuffer() {
        var writer = JSONWriter(ByteBuffer(string: "data: "))
        writer.value(false)
        #expect(String(buffer: writer.buffer) == "data: false")
    }

    @Test(arguments: [
        ("", #""""#, #""""#), ("plain", #""plain""#, #""plain""#),
        ("\"\\/", #""\"\\/""#, #""\"\\/""#), ("\u{8}\t\n\u{C}\r", #""\b\t\n\f\r""#, #""\b\t\n\f\r""#),
        ("\0\u{1F}\u{7F}", "\"\\u0000\\u001f\u{7F}\"", "\"\\u0000\\u001f\u{7F}\""),
        ("\u{E9}\u{20AC}", "\"\u{E9}\u{20AC}\"", #""\u00e9\u20ac""#),
        (
            "a\u{1F600}\u{10FFFF}\u{10000}b", "\"a\u{1F600}\u{10FFFF}\u{10000}b\"",
            #""a\ud83d\ude00\udbff\udfff\ud800\udc00b""#
        ),
        ("\u{FFFF}\u{D7FF}\u{E000}", "\"\u{FFFF}\u{D7FF}\u{E000}\"", #""\uffff\ud7ff\ue000""#),
        ("\u{80}\u{7FF}\u{800}", "\"\u{80}\u{7FF}\u{800}\"", #""\u0080\u07ff\u0800""#),
    ])
    func escapes(text: String, expected: String, ascii: String) {
        #expect(Array(self.written { $0.value(text) }.utf8) == Array(expected.utf8))
        #expect(self.written(asciiOnly: true) { $0.value(text) } == ascii)
    }

    /// The scan takes eight bytes at a time: every special byte at every place around that.
    @Test func escapesAtEveryPlace() throws {
        for length in 0..<20 {
            for place in 0...length {
                for special in [
                    "\"", "\\", "\n", "\u{1}", "\u{1F}", " ", "!", "#", "[", "]", "\u{7F}", "\u{E9}", "\u{1F600}",
                ] {
                    let run = String(repeating: "a", count: place)
                    let text = run + special + String(repeating: "b", count: length - place)
                    for asciiOnly in [false, true] {
                        let json = self.written(asciiOnly: asciiOnly) { $0.value(text) }
                        #expect(try JSONDocument(ByteBuffer(string: json)).root.string == text)
                    }
                }
            }
        }
    }

    @Test(arguments: [0, 7, 10, 99, 100, -1, -10, 1_234_567_890, Int.max, Int.min])
    func integers(number: Int) {
        #expect(self.written { $0.value(number) } == String(number))
        #expect(self.written { $0.value(Int64(number)) } == String(number))
        #expect(
            self.written { $0.value(UInt64(bitPattern: Int64(number))) } == String(UInt64(bitPattern: Int64(number))))
    }

    @Test(arguments: [
        (0.1, "0.1"), (14, "14"), (-2.5, "-2.5"), (1e16, "1e+16"), (1e-5, "1e-05"), (-0.0, "-0"),
        (0.30000000000000004, "0.30000000000000004"), (.nan, "null"), (.infinity, "null"), (-.infinity, "null"),
    ])
    func doubles(number: Double, expected: String) {
        #expect(self.written { $0.value(number) } == expected)
    }

    @Test(arguments: [Double.pi, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -1e-300, 123456789.125, 1 / 3])
    func doublesReadBackTheSame(number: Double) throws {
        let text = self.written { $0.value(number) }
        #expect(try JSONDocument(ByteBuffer(string: text)).root.double == number)
    }

    @Test func splicedStringsLeaveTheContentOut() throws {
        var writer = JSONWriter()
        writer.beginObject()
        writer.field("type", "partial_image")
        writer.key("b64_json")
        writer.beginSplicedString()
        let prefix = writer.takeBuffer()
        #expect(writer.buffer.readableBytes == 0)
        writer.endSplicedString()
        writer.field("index", 0)
        writer.endObject()
        let whole = String(buffer: prefix) + "AAAA" + String(buffer: writer.buffer)
        #expect(whole == #"{"type":"partial_image","b64_json":"AAAA","index":0}"#)
    }

    @Test func writesParsedValuesOnOneLine() throws {
        let source =
            "{ \"a\" : [ 1.50 ,\n \"x\\u00e9\\/\" ,[ ], { } ], \"\u{E9}\" : {\"n\":null, \"t\": true,\"f\" :false}\r\n}"
        let root = try JSONDocument(ByteBuffer(string: source)).root
        #expect(
            Array(self.written { $0.value(root) }.utf8)
                == Array("{\"a\":[1.50,\"x\u{E9}/\",[],{}],\"\u{E9}\":{\"n\":null,\"t\":true,\"f\":false}}".utf8))
        #expect(
            self.written(asciiOnly: true) { $0.value(root) }
                == #"{"a":[1.50,"x\u00e9/",[],{}],"\u00e9":{"n":null,"t":true,"f":false}}"#)
        #expect(self.written { $0.value(root["a"]?.elements[0] ?? root) } == "1.50")
    }

    @Test func aCleanEventGrowsTheBufferOnlyOnce() {
        var buffer = ByteBufferAllocator().buffer(capacity: 4096)
        let before = buffer.storageCapacity
        var writer = JSONWriter(buffer)
        buffer = ByteBuffer()
        writer.beginObject()
        for _ in 0..<20 {
            writer.field("key", "value \"quoted\" \u{1F600}")
            writer.field("number", Int.min)
        }
        writer.endObject()
        #expect(writer.buffer.storageCapacity == before)
    }
}
