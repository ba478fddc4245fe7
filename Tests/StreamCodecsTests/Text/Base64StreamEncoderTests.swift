import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct Base64StreamEncoderTests {
    @Test(arguments: [0, 1, 2, 3, 4, 5, 7, 64, 255])
    func everySplitIsTheWhole(_ count: Int) {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
        let whole = Base64.encode(ByteBuffer(bytes: bytes))
        for split in ByteSplits.all(count: count, exhaustiveLimit: 256) {
            var text = ByteBuffer()
            var encoder = Base64StreamEncoder()
            bytes.withUnsafeBytes { source in
                for range in split { encoder.encode(UnsafeRawBufferPointer(rebasing: source[range]), into: &text) }
            }
            encoder.finish(into: &text)
            #expect(text == whole, "\(split)")
        }
    }

    @Test func appendsToWhatIsThere() {
        var text = ByteBuffer(string: "x")
        var encoder = Base64StreamEncoder()
        [UInt8(0)].withUnsafeBytes { encoder.encode($0, into: &text) }
        encoder.finish(into: &text)
        encoder.finish(into: &text)
        #expect(String(buffer: text) == "xAA==")
    }
}
