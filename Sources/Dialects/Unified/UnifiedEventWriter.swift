import ImageGeneration
import NIOCore
import StreamCodecs

/// Writes one event of the unified schema as one JSON object (`docs/events.schema.json`), payload last.
struct UnifiedEventWriter: Sendable {
    let job: JobID
    let delivery: Delivery
    private var previews: PreviewTemplate

    init(job: JobID, delivery: Delivery) {
        self.job = job
        self.delivery = delivery
        self.previews = PreviewTemplate(job: job)
    }

    static func type(of event: JobEvent) -> StaticString {
        switch event {
        case .stage: "stage"
        case .partialImage: "partial_image"
        case .textDelta: "text_delta"
        case .image: "image"
        case .completed: "completed"
        case .error: "error"
        case .cancelled: "cancelled"
        }
    }

    mutating func write(_ entry: SequencedEvent, into out: inout FrameOutput) {
        if case .partialImage(let preview) = entry.event {
            return self.previews.write(entry, preview, into: &out)
        }
        out.json.beginObject()
        out.json.field("type", staticText: Self.type(of: entry.event))
        out.json.field("job_id", self.job.text)
        out.json.key("seq")
        out.json.value(entry.sequence.rawValue)
        out.json.field("at", time: entry.at)
        out.json.field("stage", staticText: entry.stage.staticName)
        out.json.field("progress", entry.progress)
        switch entry.event {
        case .stage(let change): self.write(change, into: &out.json)
        case .partialImage: break
        case .textDelta(let text): out.json.field("delta", text)
        case .image(let image): self.write(image, into: &out)
        case .completed(let completion):
            UnifiedJSON.writeCompletion(completion, delivery: self.delivery, into: &out.json)
        case .error(let error): UnifiedJSON.writeError(error, into: &out.json)
        case .cancelled(let cancellation): UnifiedJSON.writeCancellation(cancellation, into: &out.json)
        }
        out.json.endObject()
    }

    /// A preview's whole frame, which begins with `frame` up to its number.
    mutating func write(
        _ entry: SequencedEvent, _ preview: PartialImage, frame: ByteBuffer, into out: inout FrameOutput
    ) {
        self.previews.write(entry, preview, frame: frame, into: &out)
    }

    func write(_ gap: LogGap, into json: inout JSONWriter) {
        json.beginObject()
        json.field("type", staticText: "gap")
        json.field("job_id", self.job.text)
        json.key("oldest_seq")
        json.value(gap.oldest.rawValue)
        json.field("reason", gap.reason.rawValue)
        json.key("snapshot")
        UnifiedSnapshot.write(gap.snapshot, delivery: self.delivery, into: &json)
        json.endObject()
    }

    private func write(_ change: StageChange, into json: inout JSONWriter) {
        json.field("message", change.message)
        json.field("queue_position", change.queuePosition)
        json.field("estimated_ms", change.estimatedMilliseconds)
        json.field("elapsed_ms", change.elapsedMilliseconds)
        json.field("upstream", change.upstream)
        json.field("attempt", change.attempt)
        json.field("reason", change.reason)
        json.field("retry_at", time: change.retryAt)
        json.field("dropped", list: change.dropped)
    }

    private func write(_ image: FinishedImage, into out: inout FrameOutput) {
        UnifiedJSON.writeImage(image, delivery: self.delivery, into: &out)
    }
}
