import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct ServerSentEventEncoderTests {
    @Test func headAndData() throws {
        var out = ByteBuffer()
        try ServerSentEventEncoder.writeHead(event: "image", id: "job_1.7", retryMilliseconds: 1500, into: &out)
        ServerSentEventEncoder.writeData(text: "one\r\ntwo\rthree\n\nfive\n", into: &out)
        ServerSentEventEncoder.writeComment("ka", into: &out)
        #expect(
            String(buffer: out) == """
                event: image
                id: job_1.7
                retry: 1500
                data: one
                data: two
                data: three
                data:\(" ")
                data: five
                data:\(" ")

                : ka


                """)
    }

    @Test(arguments: ["a\nb", "a\rb", "a\0b", "\n", "data: x\n\n"])
    func injectionIsRefused(_ value: String) {
        var out = ByteBuffer()
        #expect(throws: CodecError.self) {
            try ServerSentEventEncoder.writeHead(event: value, id: nil, retryMilliseconds: nil, into: &out)
        }
        #expect(throws: CodecError.self) {
            try ServerSentEventEncoder.writeHead(event: "x", id: value, retryMilliseconds: 1, into: &out)
        }
        #expect(out.readableBytes == 0)
    }

    @Test func negativeRetryIsRefused() {
        var out = ByteBuffer()
        #expect(throws: CodecError.forbiddenByte(UInt8(ascii: "-"), field: "retry")) {
            try ServerSentEventEncoder.writeHead(event: nil, id: nil, retryMilliseconds: -1, into: &out)
        }
    }

    /// Whatever text goes in comes out of a decoder, with LF for every line end.
    @Test(arguments: [
        "", " ", "  leading", "plain", "a\nb", "\n", "\n\n", "a\r\nb\rc\n", "data: x\n\nevent: y", ": c", "é\u{FEFF}\0",
    ])
    func roundTrip(_ text: String) throws {
        var out = ByteBuffer()
        ServerSentEventEncoder.writeData(text: text, into: &out)
        let bytes = Array(out.readableBytesView)
        let decoded = try DecodedStream(bytes, [0..<bytes.count])
        var scalars = String.UnicodeScalarView()
        var previous: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            if scalar == "\r" {
                scalars.append("\n")
            } else if scalar != "\n" || previous != "\r" {
                scalars.append(scalar)
            }
            previous = scalar
        }
        #expect(decoded.events.map { Array($0.data.utf8) } == [Array(String(scalars).utf8)])
    }
}
