import NIOCore
import Testing

@testable import Transport

@Suite struct RequestBodyReaderTests {
    @Test(arguments: [1, 2, 3, 7, 64]) func readsPiecesAsOneRun(step: Int) {
        let pieces = ["", "abc", "", "d", "efghijk", ""].map { ByteBuffer(string: $0) }
        var reader = RequestBodyReader(pieces)
        #expect(reader.count == 11)
        for _ in 0..<2 {
            var text: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: step)
            while case let count = chunk.withUnsafeMutableBytes({ reader.read(into: $0) }), count > 0 {
                text += chunk[..<count]
            }
            #expect(String(decoding: text, as: UTF8.self) == "abcdefghijk")
            reader.rewind()
        }
    }
}
