import ImageGeneration
import NIOCore
import StreamCodecs

/// `output`, `logs`, `error` and `done`: the Python client raises at any other name, and drops what has no id.
struct ReplicateEncoder: DialectEncoder {
    private let job: JobID
    private let delivery: Delivery
    private var isFinished = false

    init(_ context: EncoderContext) {
        self.job = context.job
        self.delivery = context.delivery
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        switch event.event {
        case .stage(let change):
            self.frame("logs", event, into: &out) { out in
                out.json.buffer.writeString(ProgressLine.text(change, progress: event.progress))
            }
        case .partialImage, .textDelta: break
        case .image(let image):
            guard ReplicatePrediction.isShown(image) else { return }
            self.frame("output", event, into: &out) { out in
                ReplicatePrediction.write(image, self.delivery, into: &out)
            }
        case .completed: self.finish(event, reason: nil, into: &out)
        case .cancelled: self.finish(event, reason: "canceled", into: &out)
        case .error(let error):
            self.frame("error", event, into: &out) { out in
                out.json.beginObject()
                out.json.field("detail", error.message)
                out.json.field("code", error.code.rawValue)
                out.json.endObject()
            }
            self.finish(event, reason: "error", into: &out)
        }
    }

    /// Every frame stands for itself.
    mutating func skip(_ event: SequencedEvent) {}

    /// Nothing: what is left is told from the beginning, under ids of its own.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    /// Nothing: the client resumes at its last id.
    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {}

    private mutating func finish(_ event: SequencedEvent, reason: StaticString?, into out: inout FrameOutput) {
        self.isFinished = true
        self.frame("done", event, into: &out) { out in
            out.json.beginObject()
            if let reason { out.json.field("reason", staticText: reason) }
            out.json.endObject()
        }
    }

    private func frame(
        _ name: StaticString, _ event: SequencedEvent, into out: inout FrameOutput, _ data: (inout FrameOutput) -> Void
    ) {
        out.write("event: ")
        out.write(name)
        out.write("\nid: ")
        out.json.buffer.writeString(self.job.text)
        out.write(".")
        out.json.buffer.writeDecimal(event.sequence.rawValue)
        out.write("\ndata: ")
        data(&out)
        out.write("\n\n")
    }
}
