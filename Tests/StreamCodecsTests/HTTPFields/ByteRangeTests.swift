import StreamCodecs
import Testing

@Suite struct ByteRangeTests {
    @Test(arguments: [
        ("bytes=0-0", ByteRange.span(first: 0, last: 0)), ("bytes=0-499", .span(first: 0, last: 499)),
        ("bytes=500-", .from(500)), ("bytes=-500", .suffix(500)), ("bytes=-0", .suffix(0)),
        ("BYTES=1-2", .span(first: 1, last: 2)), ("bytes=007-08", .span(first: 7, last: 8)),
        ("bytes=9223372036854775807-", .from(.max)), ("bytes=9223372036854775808-", .from(.max)),
        ("bytes=99999999999999999999999999-", .from(.max)),
        ("bytes=5-99999999999999999999", .span(first: 5, last: .max)),
        ("bytes=-99999999999999999999", .suffix(.max)),
    ]) func reads(_ field: String, _ expected: ByteRange) {
        #expect(ByteRange(field: field) == expected)
    }

    /// RFC 9110 lets a server ignore the field; the whole is never wrong.
    @Test(arguments: [
        "", "bytes", "bytes=", "bytes=-", "bytes=--1", "bytes=1", "bytes=2-1", "bytes=1-2,", "bytes=0-0,2-3",
        "bytes=,0-0",
        "bytes=0-0, -1", "bytes= 0-0", "bytes =0-0", " bytes=0-0", "bytes=0-0 ", "bytes=0 -1", "bytes=a-b",
        "bytes=0x1-2",
        "bytes=+1-2", "bytes=1-+2", "bytes=1.5-2", "bytes=1-2-3", "items=0-1", "byte=0-1", "bytess=0-1", "=0-1", "0-1",
        "bytes:0-1", "bytes=０-1", "bytes=1\u{0}-2", "bytes=1-2\r\nx: y", "b\u{79}tes\u{301}=0-1", "none",
        "bytes=9223372036854775807-3", "bytes=" + String(repeating: "0", count: 200) + "1-2",
    ]) func ignores(_ field: String) {
        #expect(ByteRange(field: field) == nil)
    }

    @Test(
        arguments: [
            ("bytes=0-0", 10, 0..<1), ("bytes=0-9", 10, 0..<10), ("bytes=0-10", 10, 0..<10), ("bytes=9-9", 10, 9..<10),
            ("bytes=9-", 10, 9..<10), ("bytes=0-", 10, 0..<10), ("bytes=3-5", 10, 3..<6), ("bytes=-1", 10, 9..<10),
            ("bytes=-10", 10, 0..<10), ("bytes=-11", 10, 0..<10), ("bytes=-99999999999999999999", 10, 0..<10),
            ("bytes=5-99999999999999999999", 10, 5..<10), ("bytes=0-0", 1, 0..<1),
            ("bytes=10-", 10, nil), ("bytes=10-10", 10, nil), ("bytes=10-20", 10, nil), ("bytes=-0", 10, nil),
            ("bytes=99999999999999999999-", 10, nil), ("bytes=0-", 0, nil), ("bytes=-1", 0, nil), ("bytes=0-0", 0, nil),
            ("bytes=9223372036854775807-9223372036854775807", .max, nil),
            ("bytes=9223372036854775806-9223372036854775807", .max, (.max - 1)..<Int.max),
        ] as [(String, Int, Range<Int>?)]) func resolves(_ field: String, _ size: Int, _ expected: Range<Int>?) throws
    {
        #expect(try #require(ByteRange(field: field)).resolved(size: size) == expected)
    }

    /// Every range of a small size against a count by hand.
    @Test func agreesWithCounting() throws {
        for size in 0...6 {
            let bytes = Array(0..<size)
            for first in 0...7 {
                let rest = bytes.filter { $0 >= first }
                #expect(try self.resolved("bytes=\(first)-", size).map(Array.init) == (rest.isEmpty ? nil : rest))
                let tail = Array(bytes.suffix(first))
                #expect(try self.resolved("bytes=-\(first)", size).map(Array.init) == (tail.isEmpty ? nil : tail))
                for last in first...8 {
                    let span = bytes.filter { (first...last).contains($0) }
                    let resolved = try self.resolved("bytes=\(first)-\(last)", size)
                    #expect(resolved.map(Array.init) == (span.isEmpty ? nil : span))
                }
            }
        }
    }

    private func resolved(_ field: String, _ size: Int) throws -> Range<Int>? {
        try #require(ByteRange(field: field)).resolved(size: size)
    }
}
