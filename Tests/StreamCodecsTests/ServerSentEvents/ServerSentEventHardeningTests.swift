import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct ServerSentEventHardeningTests {
    /// Streams that never end a block: each must be refused at the bound, however it is cut.
    @Test(arguments: [
        ("data: ", "a"), ("data: ", "data: a\n"), ("", "data\n"), ("event: ", "e"), ("id: ", "i"), ("retry: ", "1"),
        ("", "event: eeee\n"), ("", "id: iiii\n"),
    ])
    func endlessBlocksAreRefused(_ head: String, _ unit: String) throws {
        let limit = 1000
        for size in [1, 7, 64, 4096] {
            var decoder = ServerSentEventDecoder(
                limits: CodecLimits(maximumEventBytes: limit), scanner: RecordingScanner())
            let bytes = Array((head + String(repeating: unit, count: 4000)).utf8)
            var error: CodecError?
            var fed = 0
            for piece in ByteSplits.pieces(of: size, count: bytes.count) where error == nil {
                fed = piece.upperBound
                do {
                    try bytes[piece].withUnsafeBytes { read in
                        var rest = read
                        while try decoder.consume(&rest) != nil {}
                    }
                } catch let thrown as CodecError {
                    error = thrown
                }
            }
            #expect(error == .eventTooLarge(limit: limit), "\(head)\(unit) by \(size)")
            #expect(decoder.scanner.bytes.count <= limit)
            #expect(fed < bytes.count || size == 4096)
            // It stays refused.
            #expect(throws: CodecError.eventTooLarge(limit: limit)) {
                try Array("\n\n".utf8).withUnsafeBytes { read in
                    var rest = read
                    _ = try decoder.consume(&rest)
                }
            }
        }
    }

    @Test func theBoundIsExact() throws {
        let limits = CodecLimits(maximumEventBytes: 10)
        let fits = Array("data: 0123456789\n\ndata: 0123456789\n\ndata: 01234\ndata: 6789\n\n".utf8)
        for cut in ByteSplits.all(count: fits.count) {
            #expect(try DecodedStream(fits, cut, limits: limits).events.count == 3)
        }
        for text in ["data: 0123456789a\n\n", "data: 01234\ndata: 56789\n\n", "event: abc\ndata: 01234567\n\n"] {
            let bytes = Array(text.utf8)
            for cut in ByteSplits.all(count: bytes.count) {
                #expect(throws: CodecError.eventTooLarge(limit: 10)) { try DecodedStream(bytes, cut, limits: limits) }
            }
        }
    }

    @Test func commentsAndUnknownFieldsAreNeverHeld() throws {
        let limits = CodecLimits(maximumEventBytes: 10)
        let long = String(repeating: "k", count: 100_000)
        let bytes = Array(":\(long)\nunknown: \(long)\n\(long)\ndata: x\n\n".utf8)
        for size in [1, 4096, bytes.count] {
            let decoded = try DecodedStream(bytes, ByteSplits.pieces(of: size, count: bytes.count), limits: limits)
            #expect(decoded.events.map(\.data) == ["x"])
        }
    }

    @Test func namesWithNULInFrontAreUnknown() throws {
        let bytes = Array("\0data: a\n\0id: 1\n\0\0\0id: 2\ndata: b\n\n".utf8)
        for cut in ByteSplits.all(count: bytes.count) {
            let decoded = try DecodedStream(bytes, cut)
            #expect(decoded.events == [ExpectedEvent(event: "message", id: "", data: "b", retry: nil)])
        }
    }
}
