import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct Base64CodingTests {
    private static func bytes(_ count: Int) -> [UInt8] {
        var state: UInt64 = 42
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    @Test(arguments: Array(0...70) + [255, 256, 3000, 65_537])
    func agreesWithFoundation(count: Int) throws {
        let bytes = Self.bytes(count)
        let text = Base64.encode(ByteBuffer(bytes: bytes))
        #expect(String(buffer: text) == Data(bytes).base64EncodedString())
        #expect(try Base64.decode(text) == ByteBuffer(bytes: bytes))
    }

    @Test(
        arguments: [
            ("", []), ("Zg==", [0x66]), ("Zm8=", [0x66, 0x6F]), ("Zm9v", [0x66, 0x6F, 0x6F]),
            ("+/+/", [0xFB, 0xFF, 0xBF]),
            // Bits behind the last byte do not count.
            ("Zh==", [0x66]), ("Zm9=", [0x66, 0x6F]),
        ] as [(String, [UInt8])])
    func decodes(text: String, expected: [UInt8]) throws {
        #expect(try Base64.decode(ByteBuffer(string: text)) == ByteBuffer(bytes: expected))
    }

    @Test(arguments: [
        ("A", 1), ("AA", 2), ("AAA", 3), ("AAAAA", 5), ("=", 0), ("A===", 1), ("AA=", 3), ("AA=A", 3), ("AA==AAAA", 4),
        ("AAA==", 4), ("AAAA=", 4), ("AAAA====", 4), ("AA\nAA", 2), ("AA AA", 2), ("AA-_", 2), ("\u{E9}AAA", 0),
        ("AAA\0", 3),
        ("AAAAAAAA!AAA", 8), ("AA==\n", 4),
    ])
    func refuses(text: String, offset: Int) {
        let bytes = ByteBuffer(string: text)
        #expect(throws: CodecError.notBase64(offset: offset)) { try Base64.decode(bytes) }
        for pieces in ByteSplits.all(count: bytes.readableBytes) {
            #expect(throws: CodecError.notBase64(offset: offset)) { try Self.stream(bytes, pieces) }
        }
    }

    @Test func everyByteOutsideTheAlphabetIsRefusedAtEveryPlace() {
        let alphabet = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        for byte in UInt8.min...UInt8.max where !alphabet.contains(byte) {
            for place in 0..<6 {
                var text = Array("AAAAAAAA".utf8)
                text[place] = byte
                #expect(throws: CodecError.self) { try Base64.decode(ByteBuffer(bytes: text)) }
            }
        }
    }

    @Test(arguments: [0, 1, 2, 3, 4, 5, 46, 47, 48])
    func anySplitDecodesTheSame(count: Int) throws {
        let bytes = ByteBuffer(bytes: Self.bytes(count))
        let text = Base64.encode(bytes)
        for pieces in ByteSplits.all(count: text.readableBytes) { #expect(try Self.stream(text, pieces) == bytes) }
        for first in 0...text.readableBytes {
            for second in first...text.readableBytes {
                let pieces = [0..<first, first..<second, second..<text.readableBytes]
                #expect(try Self.stream(text, pieces) == bytes)
            }
        }
    }

    @Test func prefixes() {
        let bytes = Self.bytes(100)
        let text = Base64.encode(ByteBuffer(bytes: bytes))
        for count in [-1, 0, 1, 2, 3, 4, 64, 99, 100, 101, 1000, Int.max] {
            let expected = bytes.prefix(max(0, count))
            #expect(Base64.decodePrefix(text, maximumBytes: count) == ByteBuffer(bytes: expected))
        }
        #expect(Base64.decodePrefix(ByteBuffer(string: "Zm9vZm!v"), maximumBytes: 64) == ByteBuffer(string: "foo"))
        #expect(
            Base64.decodePrefix(ByteBuffer(string: "Zm9vZm8=Zm9v"), maximumBytes: 64) == ByteBuffer(string: "foofo"))
        #expect(Base64.decodePrefix(ByteBuffer(string: "not base64"), maximumBytes: 64).readableBytes == 0)
    }

    @Test func readsOnlyWhatIsReadable() throws {
        var text = ByteBuffer(string: "!!Zm9v!!")
        text.moveReaderIndex(forwardBy: 2)
        text.moveWriterIndex(to: 6)
        #expect(try Base64.decode(text) == ByteBuffer(string: "foo"))
        #expect(Base64.encode(text) == ByteBuffer(string: "Wm05dg=="))
    }

    private static func stream(_ text: ByteBuffer, _ pieces: [Range<Int>]) throws -> ByteBuffer {
        var decoder = Base64StreamDecoder()
        var bytes = ByteBuffer()
        for piece in pieces {
            let slice = try #require(text.getSlice(at: text.readerIndex + piece.lowerBound, length: piece.count))
            try decoder.decode(slice, into: &bytes)
        }
        try decoder.finish()
        return bytes
    }
}
