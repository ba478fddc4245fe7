import ImageGeneration
import NIOCore
import StreamCodecs

/// One event, one line; the position is the event's `seq`.
struct NDJSONEncoder: DialectEncoder {
    private var writer: UnifiedEventWriter

    init(_ context: EncoderContext) {
        self.writer = UnifiedEventWriter(job: context.job, delivery: context.delivery)
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        self.writer.write(event, into: &out)
        out.write("\n")
    }

    /// Every line stands for itself.
    mutating func skip(_ event: SequencedEvent) {}

    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {
        self.writer.write(gap, into: &out.json)
        out.write("\n")
    }

    /// Nothing: the client resumes at its last `seq`.
    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {}
}
