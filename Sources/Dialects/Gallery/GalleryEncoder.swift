import ImageGeneration
import NIOCore
import StreamCodecs

/// `progress`, `partial_image`, an `image` for each picture, `complete` with what is known about all of them.
///
/// With `delivery: url` no event carries bytes, for clients that cannot read an event which comes in several network
/// reads: an `image` has `url` in the place of `data`, a preview is a `progress` event with a `preview_url`.
struct GalleryEncoder: DialectEncoder {
    private let context: EncoderContext
    private var images: [FinishedImage] = []
    private var isFinished = false

    init(_ context: EncoderContext) { self.context = context }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        switch event.event {
        case .stage(let change): self.encode(change, event, into: &out)
        case .partialImage(let preview): self.encode(preview, event, into: &out)
        case .textDelta: break
        case .image(let image): self.encode(image, into: &out)
        case .completed(let completion):
            self.isFinished = true
            var frame = DataFrame(type: "complete")
            let images = self.images.isEmpty ? completion.images : self.images
            GalleryMetadata.write(completion, images: images, into: &frame.json)
            frame.end(into: &out)
        case .error(let error): self.encodeFailure(error, into: &out)
        case .cancelled(let cancellation): self.encodeFailure(cancellation.asError, into: &out)
        }
    }

    /// Not resumable: such a stream always starts at the first event.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.encodeFailure(error, into: &out)
    }

    private func encode(_ change: StageChange, _ event: SequencedEvent, into out: inout FrameOutput) {
        var frame = self.progress(event)
        frame.json.field("message", change.message)
        frame.json.field("queue_position", change.queuePosition)
        frame.json.field("dropped", list: change.dropped)
        frame.end(into: &out)
    }

    private func encode(_ preview: PartialImage, _ event: SequencedEvent, into out: inout FrameOutput) {
        guard self.context.delivery.carriesPayload else {
            var frame = self.progress(event)
            frame.json.field("preview_url", self.context.previewURL(preview, at: event))
            return frame.end(into: &out)
        }
        var frame = DataFrame(type: "partial_image")
        frame.json.field("index", preview.partialImageIndex)
        self.writeIndex(preview.imageIndex, into: &frame)
        frame.field("format", word: preview.attributes.outputFormat)
        frame.field("data", payload: preview.payload, into: &out)
        frame.end(into: &out)
    }

    private mutating func encode(_ image: FinishedImage, into out: inout FrameOutput) {
        var described = image
        described.payload = nil
        self.images.append(described)
        var frame = DataFrame(type: "image")
        self.writeIndex(image.imageIndex, into: &frame)
        frame.field("format", word: image.attributes.outputFormat)
        if let payload = image.payload(for: self.context.delivery) {
            frame.field("data", payload: payload, into: &out)
        } else {
            frame.json.field("url", image.link(publicURL: self.context.publicURL))
        }
        frame.end(into: &out)
    }

    private mutating func encodeFailure(_ error: GatewayError, into out: inout FrameOutput) {
        self.isFinished = true
        var frame = DataFrame(type: "error")
        frame.json.field("message", error.message)
        frame.json.field("code", error.code.rawValue)
        frame.end(into: &out)
    }

    private func progress(_ event: SequencedEvent) -> DataFrame {
        var frame = DataFrame(type: "progress")
        frame.json.field("status", staticText: Self.status(event.stage))
        frame.json.field("progress", event.progress)
        frame.json.field("job_id", self.context.job.text)
        return frame
    }

    private static func status(_ stage: Stage) -> StaticString {
        switch stage {
        case .queued: "started"
        case .processing: "processing"
        case .generating, .uploading, .completed, .error, .cancelled: "generating"
        }
    }

    private func writeIndex(_ index: Int, into frame: inout DataFrame) {
        if self.context.request.count > 1 { frame.json.field("image_index", index) }
    }
}

/// `metadata: {model, size, quality, usage, elapsed_ms, images}`, where `images` is how many were finished.
enum GalleryMetadata {
    static func write(_ completion: Completion, images: [FinishedImage], into json: inout JSONWriter) {
        let first = images.min { $0.imageIndex < $1.imageIndex }
        json.key("metadata")
        json.beginObject()
        json.field("model", completion.model)
        json.field("size", first?.sizeText ?? "")
        json.field("quality", first?.attributes.quality ?? "")
        json.field("usage", usage: completion.usage)
        json.field("elapsed_ms", completion.timings.total)
        json.field("images", images.count)
        json.endObject()
    }
}
