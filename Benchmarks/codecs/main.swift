// Allocations and speed of the hot path without sockets: an upstream's bytes through decoder, scanner and exchange, and the event
// through the unified encoder. Run by `make bench`.

import CMallocCount
import Dialects
import Glibc
import HTTPTypes
import ImageGeneration
import NIOCore
import Providers
import StreamCodecs

func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// One preview event whose payload has about `bytes` base64 characters.
func transcript(payload bytes: Int) -> [UInt8] {
    let payload = String(repeating: "iVBORw0KGgoAAAANSUhEUgAABAAAAAQA", count: max(1, bytes / 32))
    return Array(
        """
        event: image_generation.partial_image
        data: {"type":"image_generation.partial_image","b64_json":"\(payload)","created_at":1,"size":"1024x1024",\
        "quality":"high","background":"opaque","output_format":"png","partial_image_index":0}


        """.utf8)
}

struct Measurement {
    let mallocs: Double
    let nanoseconds: Double

    /// Medians would hide nothing here: the work is the same each time, so the whole run is divided by its repetitions.
    static func of(_ repetitions: Int, _ work: () throws -> Void) rethrows -> Measurement {
        try work()
        let (calls, start) = (malloc_count(), monotonicNanoseconds())
        for _ in 0..<repetitions { try work() }
        let elapsed = monotonicNanoseconds() - start
        return Measurement(
            mallocs: Double(malloc_count() - calls) / Double(repetitions),
            nanoseconds: Double(elapsed) / Double(repetitions))
    }

    func row(_ name: String, bytes: Int) {
        let speed = Double(bytes) / self.nanoseconds
        print(
            "  \(name)\(String(repeating: " ", count: max(1, 22 - name.count)))\(bytes / 1000) kB  "
                + "mallocs/event \((self.mallocs * 10).rounded() / 10)  ns/event \(Int(self.nanoseconds))  "
                + "GB/s \((speed * 100).rounded() / 100)")
    }
}

/// Feeds the exchange in reads of 16 KiB, as the transport does.
func feed(_ exchange: inout any ProviderExchange, _ bytes: [UInt8]) -> ByteBuffer? {
    var payload: ByteBuffer?
    bytes.withUnsafeBytes { all in
        for start in stride(from: 0, to: all.count, by: 16 << 10) {
            var actions = ExchangeActions()
            let piece = UnsafeRawBufferPointer(rebasing: all[start..<min(start + 16 << 10, all.count)])
            exchange.received(bytes: piece, call: 0, into: &actions)
            for case .emit(.partialImage(_, _, _, let found)) in actions { payload = found }
        }
    }
    return payload
}

let job = JobID()
var request = ImageRequest(operation: .generate, prompt: "x")
request.partialImages = 3
let attributes = ImageAttributes(
    size: "1024x1024", quality: "high", background: "opaque", outputFormat: "png", createdAt: 1)
let context = EncoderContext(
    job: job, request: request, delivery: .inline, publicURL: "", createdAt: Timestamp(milliseconds: 0))

print("Hot path, one event a time, one thread")
for size in [170, 10_000, 1_000_000, 8_000_000] {
    let bytes = transcript(payload: size)
    let repetitions = max(20, min(20_000, 400_000_000 / bytes.count / 4))
    let adapter = try OpenAIImagesAdapter(ProviderConfiguration(name: "u", baseURL: "http://127.0.0.1"))
    var exchange = try adapter.makeExchange(for: ExchangeJob(id: job, request: request, entropy: 1))
    var actions = ExchangeActions()
    exchange.start(into: &actions)
    var head = HTTPFields()
    head[.contentType] = "text/event-stream"
    exchange.received(head: ExchangeResponseHead(status: 200, headers: head), call: 0, into: &actions)
    var payload = ByteBuffer()
    Measurement.of(repetitions) {
        if let found = feed(&exchange, bytes) { payload = found }
    }.row("decode and exchange", bytes: bytes.count)
    var encoder = UnifiedDialect().makeStreamEncoder(context)
    var output = FrameOutput()
    let event = SequencedEvent(
        sequence: EventSequence(epoch: 1, number: 1), at: Timestamp(milliseconds: 1), stage: .generating, progress: 50,
        event: .partialImage(
            PartialImage(
                imageIndex: 0, partialImageIndex: 0, attributes: attributes, payload: ImagePayload(canonical: payload)))
    )
    Measurement.of(repetitions) {
        encoder.encode(event, into: &output)
        _ = output.take()
    }.row("encode (unified)", bytes: bytes.count)
}
