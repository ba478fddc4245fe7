import ImageGeneration
import NIOCore
import StreamCodecs

/// Unified events as server-sent events: `event:`, `id:`, one line of `data:`, and `retry:` in the first frame.
struct UnifiedEncoder: DialectEncoder {
    private var writer: UnifiedEventWriter
    /// `\nid: <job_id>.`
    private let idPrefix: ByteBuffer
    /// `event: partial_image\nid: <job_id>.`
    private let previewFrame: ByteBuffer
    private let retryMilliseconds: Int
    private var wroteRetry = false

    init(_ context: EncoderContext) {
        self.writer = UnifiedEventWriter(job: context.job, delivery: context.delivery)
        var frame = ByteBuffer(staticString: "event: partial_image")
        let start = frame.writerIndex
        frame.writeStaticString("\nid: ")
        frame.writeString(context.job.text)
        frame.writeStaticString(".")
        self.previewFrame = frame
        self.idPrefix = frame.getSlice(at: start, length: frame.writerIndex - start) ?? ByteBuffer()
        self.retryMilliseconds = context.retryMilliseconds
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        if self.wroteRetry, case .partialImage(let preview) = event.event {
            return self.writer.write(event, preview, frame: self.previewFrame, into: &out)
        }
        out.write("event: ")
        out.write(UnifiedEventWriter.type(of: event.event))
        out.json.buffer.writeImmutableBuffer(self.idPrefix)
        out.json.buffer.writeDecimal(event.sequence.rawValue)
        self.writeRetryOnce(into: &out)
        out.write("\ndata: ")
        self.writer.write(event, into: &out)
        out.write("\n\n")
    }

    /// Every frame stands for itself.
    mutating func skip(_ event: SequencedEvent) {}

    /// Without `id:`: a client that reconnects now still asks from where its history broke off.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {
        out.write("event: gap")
        self.writeRetryOnce(into: &out)
        out.write("\ndata: ")
        self.writer.write(gap, into: &out.json)
        out.write("\n\n")
    }

    /// Nothing: the client resumes at its last id.
    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {}

    private mutating func writeRetryOnce(into out: inout FrameOutput) {
        guard !self.wroteRetry else { return }
        self.wroteRetry = true
        out.write("\nretry: ")
        out.json.buffer.writeDecimal(UInt64(max(0, self.retryMilliseconds)))
    }
}
