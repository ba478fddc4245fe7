import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct SharedReadTests {
    private static func stream(lineEnd: String) -> [UInt8] {
        var text = ""
        for number in 0..<300 {
            if number.isMultiple(of: 7) { text += "event: named\(lineEnd)" }
            if number.isMultiple(of: 5) { text += ": a comment\(lineEnd)" }
            let sizes = [0, 1, 40, 170, 2047, 2048, 5000, 40_000]
            text += "data: \(number) \(String(repeating: "x", count: sizes[number % sizes.count]))\(lineEnd)"
            if number.isMultiple(of: 3) { text += "data: second line\(lineEnd)" }
            text += lineEnd
        }
        return Array(text.utf8)
    }

    /// However reads cut the stream, frames are the same whether they share memory or not.
    @Test(arguments: ["\n", "\r\n", "\r"], [64, 333, 4096, 16_384, 65_536, .max])
    func changesNothing(_ lineEnd: String, _ size: Int) throws {
        let bytes = Self.stream(lineEnd: lineEnd)
        let pieces = ByteSplits.pieces(of: min(size, bytes.count), count: bytes.count)
        let shared = try DecodedStream(bytes, pieces, sharing: true)
        #expect(shared.events.count == 300)
        #expect(try shared == DecodedStream(bytes, pieces))
    }

    /// A frame outlives its read: the bytes read next go elsewhere.
    @Test func framesOwnTheirBytes() throws {
        var decoder = ServerSentEventDecoder(scanner: NoScanner())
        var kept: [ByteBuffer] = []
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
        defer { memory.deallocate() }
        for letter in ["a", "b"] {
            let text = "data: \(letter)1\n\ndata: \(letter)2\n\n"
            memory.copyBytes(from: text.utf8)
            var rest = UnsafeRawBufferPointer(rebasing: memory[..<text.utf8.count])
            decoder.beginRead(rest)
            while let frame = try decoder.consume(&rest) { kept.append(frame.data) }
            decoder.endRead()
        }
        #expect(kept.map { String(buffer: $0) } == ["a1", "a2", "b1", "b2"])
    }

    /// A small frame keeps its read in memory at most as far as the copy goes, a large one nothing but itself.
    @Test func memoryThatFramesKeepIsBounded() throws {
        let text =
            String(repeating: "data: small\n\n", count: 10_000) + "data: \(String(repeating: "y", count: 9000))\n\n"
        var decoder = ServerSentEventDecoder(scanner: NoScanner())
        try Array(text.utf8).withUnsafeBytes { read in
            decoder.beginRead(read)
            var rest = read
            while let frame = try decoder.consume(&rest) { #expect(frame.data.storageCapacity <= 16 << 10) }
            decoder.endRead()
        }
    }
}
