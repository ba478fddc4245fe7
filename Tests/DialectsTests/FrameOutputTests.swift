import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Dialects

@Suite struct FrameOutputTests {
    /// Reads chunked coding back by its rules.
    private static func body(of chunks: [UInt8]) -> [UInt8]? {
        var rest = chunks[...]
        var body: [UInt8] = []
        while !rest.isEmpty {
            guard let end = rest.firstIndex(of: 0x0D), rest[rest.index(after: end)] == 0x0A,
                let size = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16), size > 0
            else { return nil }
            rest = rest[(end + 2)...]
            guard rest.count >= size + 2, rest.dropFirst(size).starts(with: [0x0D, 0x0A]) else { return nil }
            body += rest.prefix(size)
            rest = rest.dropFirst(size + 2)
        }
        return body
    }

    private static func bytes(_ pieces: [ByteBuffer]) -> [UInt8] { pieces.flatMap { Array($0.readableBytesView) } }

    @Test("each batch is one whole chunk", arguments: [0, 1, 2047, 2048, 200_000], [true, false])
    func chunks(payload: Int, announced: Bool) {
        var out = FrameOutput(isChunked: true)
        var expected: [UInt8] = []
        var sent: [UInt8] = []
        for round in 0..<3 {
            if announced { out.begin(expecting: 100) }
            #expect(out.isEmpty)
            let payloadBytes = ByteBuffer(repeating: UInt8(0x41 + round), count: payload)
            out.json.buffer.writeString("head \(round)")
            out.splice(payloadBytes)
            out.write("\n\n")
            expected += Array("head \(round)".utf8) + Array(payloadBytes.readableBytesView) + Array("\n\n".utf8)
            sent += Self.bytes(out.take().pieces)
            #expect(out.take().pieces.isEmpty)
        }
        #expect(Self.body(of: sent) == expected)
    }

    @Test("a large payload stays the slice it is")
    func splices() {
        var out = FrameOutput(isChunked: true)
        out.begin(expecting: 0)
        let payload = ByteBuffer(repeating: 0x41, count: 100_000)
        out.write("a")
        out.splice(payload)
        out.write("b")
        let pieces = out.take().pieces
        #expect(pieces.count == 3)
        let addresses = [payload, pieces[1]].map { $0.withUnsafeReadableBytes { $0.baseAddress } }
        #expect(addresses[0] == addresses[1])
    }

    /// Text that is somewhere.
    private final class Elsewhere: DisplacedPayload {
        let base64Count: Int
        var decodedCount: Int { self.base64Count / 4 * 3 }

        init(_ count: Int) { self.base64Count = count }

        func read(_ range: Range<Int>) async throws -> ByteBuffer { ByteBuffer(repeating: 0x41, count: range.count) }
    }

    @Test("a payload that is elsewhere stands in its chunk as if it were here", arguments: [true, false])
    func displaced(announced: Bool) async throws {
        var whole: [UInt8] = []
        var out = FrameOutput(isChunked: true)
        if announced { out.begin(expecting: 100) }
        out.write("{")
        out.splice(ImagePayload(displaced: Elsewhere(100_000)))
        out.write("}\n\n")
        for piece in out.takePieces().pieces {
            switch piece {
            case .bytes(let bytes): whole += Array(bytes.readableBytesView)
            case .displaced(let payload): whole += Array(try await payload.read(0..<100_000).readableBytesView)
            }
        }
        #expect(
            Self.body(of: whole) == Array("{".utf8) + [UInt8](repeating: 0x41, count: 100_000) + Array("}\n\n".utf8))
    }

    @Test("nothing begun is nothing sent")
    func empty() {
        var out = FrameOutput(isChunked: true)
        out.begin(expecting: 4096)
        #expect(out.take().pieces.isEmpty)
    }

    @Test(
        "a preview from the template is what the JSON writer would give",
        arguments: [("auto", "high"), ("10\"24\u{1F5BC}\n", "\\"), ("", "\u{0}x")])
    func template(size: String, quality: String) {
        let job = JobID(high: 1, low: 2)
        var template = PreviewTemplate(job: job)
        for number in 0..<3 {
            let payload = ImagePayload(canonical: ByteBuffer(string: "iVBORw0KGgo="))
            let attributes = ImageAttributes(
                size: number == 2 ? "other" : size, quality: quality, background: "opaque", outputFormat: "png",
                createdAt: -7)
            let preview = PartialImage(
                imageIndex: number, partialImageIndex: 1 << 20, attributes: attributes, payload: payload)
            let entry = SequencedEvent(
                sequence: EventSequence(epoch: 7, number: UInt32(number)),
                at: Timestamp(milliseconds: 1_781_870_406_007),
                stage: .generating, progress: 99, event: .partialImage(preview))
            var out = FrameOutput()
            template.write(entry, preview, into: &out)
            #expect(Self.bytes(out.take().pieces) == Self.written(entry, preview, job))
        }
    }

    private static func written(_ entry: SequencedEvent, _ preview: PartialImage, _ job: JobID) -> [UInt8] {
        var out = FrameOutput()
        out.json.beginObject()
        out.json.field("type", staticText: "partial_image")
        out.json.field("job_id", job.text)
        out.json.field("seq", entry.sequence.rawValue)
        out.json.field("at", entry.at.rfc3339)
        out.json.field("stage", entry.stage.name)
        out.json.field("progress", entry.progress)
        out.json.field("image_index", preview.imageIndex)
        out.json.field("partial_image_index", preview.partialImageIndex)
        UnifiedJSON.writeAttributes(preview.attributes, into: &out.json)
        out.json.field("created_at", preview.attributes.createdAt)
        out.field("b64_json", payload: preview.payload)
        out.json.endObject()
        return Self.bytes(out.take().pieces)
    }
}
