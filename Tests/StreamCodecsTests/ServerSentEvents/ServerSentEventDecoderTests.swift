import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@Suite struct ServerSentEventDecoderTests {
    @Test(.enabled(if: SharedFiles.has(ServerSentEventVectors.folder), "needs the folder vectors/sse"))
    func vectorsAtEverySplit() throws {
        let vectors = try ServerSentEventVectors.small()
        #expect(vectors.count >= 164)
        for vector in vectors {
            let input = vector.input
            for cut in vector.cuts {
                var decoded = try DecodedStream(input, cut)
                var expected = vector.expected
                if vector.retryUnscored == true {
                    for index in expected.indices { expected[index].retry = nil }
                    for index in decoded.events.indices { decoded.events[index].retry = nil }
                } else {
                    #expect(decoded.reconnectionTime == vector.final.reconnectionTime, "\(vector.name) \(cut.count)")
                }
                #expect(decoded.events == expected, "\(vector.name), \(cut.first ?? 0..<0)")
                #expect(decoded.lastEventID == vector.final.lastEventId, "\(vector.name)")
                self.expectScanned(decoded, vector.name)
            }
            // Byte by byte, an event comes with the byte that completes it, and the CR of a CR LF already does.
            let single = try DecodedStream(input, ByteSplits.pieces(of: 1, count: input.count))
            for (at, latest) in zip(single.deliveredBy, vector.deliveredBy ?? []) {
                let isCRLF = latest >= 2 && input[latest - 2] == 0x0D && input[latest - 1] == 0x0A
                #expect(at == (isCRLF ? latest - 1 : latest), "\(vector.name)")
            }
        }
    }

    @Test(.enabled(if: SharedFiles.has(ServerSentEventVectors.folder), "needs the folder vectors/sse"))
    func largeVectors() throws {
        for vector in try ServerSentEventVectors.large() {
            let input = vector.input
            #expect(input.count == vector.inputLengthBytes)
            let decoded = try DecodedStream(input, ByteSplits.pieces(of: 65_536, count: input.count))
            for size in [input.count, 4093] {
                let other = try DecodedStream(input, ByteSplits.pieces(of: size, count: input.count))
                #expect(other == decoded, "\(vector.name)")
            }
            #expect(decoded.events.count == vector.expected.count, "\(vector.name)")
            for (event, expected) in zip(decoded.events, vector.expected) {
                #expect(event.event == expected.event && event.id == expected.id && event.retry == expected.retry)
                if let data = expected.data { #expect(event.data == data) }
                if let length = expected.dataLengthBytes { #expect(event.data.utf8.count == length) }
                if let digest = expected.dataSha256 {
                    #expect(SHA256Digest.hex(Array(event.data.utf8)) == digest, "\(vector.name)")
                }
            }
            #expect(decoded.lastEventID == vector.final.lastEventId)
            self.expectScanned(decoded, vector.name)
        }
    }

    private struct EdgeCase: Decodable {
        struct Event: Decodable {
            var type: String
            var data: String
            var lastEventId: String
        }
        var file: String
        var events: [Event]
        var finalLastEventId: String
        var reconnectionTimeMs: Int?
    }

    private static let edgeCases = SharedFiles.fixtures.appendingPathComponent("sse-edge-cases")

    @Test(.enabled(if: SharedFiles.has(edgeCases), "needs the folder reference/fixtures/sse-edge-cases"))
    func edgeCasesAtEverySplit() throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let file = Self.edgeCases.appendingPathComponent("expected.json")
        let cases = try decoder.decode([EdgeCase].self, from: Data(SharedFiles.bytes(file)))
        #expect(cases.count >= 22)
        for edgeCase in cases {
            let input = try SharedFiles.bytes(Self.edgeCases.appendingPathComponent(edgeCase.file))
            for cut in ByteSplits.all(count: input.count) {
                let decoded = try DecodedStream(input, cut)
                let got = decoded.events.map { [$0.event, $0.data, $0.id] }
                #expect(got == edgeCase.events.map { [$0.type, $0.data, $0.lastEventId] }, "\(edgeCase.file)")
                #expect(decoded.lastEventID == edgeCase.finalLastEventId, "\(edgeCase.file)")
                #expect(decoded.reconnectionTime == edgeCase.reconnectionTimeMs, "\(edgeCase.file)")
            }
        }
    }

    /// The scanner sees exactly the bytes of each frame's data.
    private func expectScanned(_ decoded: DecodedStream, _ name: String) {
        for (event, scanned) in zip(decoded.events, decoded.scanned) {
            #expect(String(decoding: scanned, as: UTF8.self).utf8.elementsEqual(event.data.utf8), "\(name)")
        }
    }

    @Test func framesKeepTheirBytesWhenTheStreamGoesOn() throws {
        var decoder = ServerSentEventDecoder(scanner: NoScanner())
        var frames: [ServerSentEventFrame] = []
        for number in 0..<200 {
            let text = "event: e\(number % 3)\ndata: \(String(repeating: "x\(number)", count: number + 1))\n\n"
            try Array(text.utf8).withUnsafeBytes { bytes in
                var rest = bytes
                while let frame = try decoder.consume(&rest) { frames.append(frame) }
            }
        }
        #expect(frames.count == 200)
        for (number, frame) in frames.enumerated() {
            #expect(String(buffer: frame.data) == String(repeating: "x\(number)", count: number + 1))
            #expect(frame.event.map { String(buffer: $0) } == "e\(number % 3)")
            #expect(frame.data.readerIndex == 0)
        }
        #expect(frames[0].isEvent("e0") && !frames[0].isEvent("e1") && !frames[0].isEvent("e"))
        #expect(ServerSentEventFrame(data: ByteBuffer()).isEvent("message"))
    }

    @Test(arguments: [
        ("data: x\n", true), ("data: x\n\n", false), ("da", true), (": comment", false), (": comment\n", false),
        ("data: x\n\n: ka\n", false), ("id: 1\n", true), ("data: x\n\nevent", true), ("\n\n", false),
    ])
    func partialFrame(_ text: String, _ expected: Bool) throws {
        var decoder = ServerSentEventDecoder(scanner: NoScanner())
        try Array(text.utf8).withUnsafeBytes { bytes in
            var rest = bytes
            while try decoder.consume(&rest) != nil {}
        }
        #expect(decoder.hasPartialFrame == expected)
    }

    @Test func capacityFollowsTheFrames() throws {
        var decoder = ServerSentEventDecoder(scanner: NoScanner())
        func frame(_ size: Int) throws -> ByteBuffer? {
            let bytes = Array("data: \(String(repeating: "a", count: size))\n\n".utf8)
            var frames: [ServerSentEventFrame] = []
            for piece in ByteSplits.pieces(of: 65_536, count: bytes.count) {
                try bytes[piece].withUnsafeBytes { read in
                    var rest = read
                    while let frame = try decoder.consume(&rest) { frames.append(frame) }
                }
            }
            return frames.first?.data
        }
        let large = try #require(try frame(1_300_000))
        #expect(large.readableBytes == 1_300_000 && large.capacity <= 4 << 20)
        #expect(decoder.expectedEventBytes == 1_300_000)
        let small = try #require(try frame(100))
        #expect(small.capacity <= 1024)
        let middling = try #require(try frame(70_000))
        #expect(middling.capacity <= 4 * 131_072)
    }
}
