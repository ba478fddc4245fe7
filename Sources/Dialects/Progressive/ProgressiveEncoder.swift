import ImageGeneration
import NIOCore
import StreamCodecs

/// `progress` for every stage event, `partial_image` for previews, one `completed` at the end.
///
/// `completed` carries a picture, and it is the end. So a finished picture is held back until the next event: where
/// another follows it becomes an `image` event, the last one is `completed`.
///
/// With `delivery: url` no event carries bytes, for clients that cannot read an event which comes in several network
/// reads: a preview is a `progress` event with a `preview_url`, and `completed` stays below 1,200 bytes.
struct ProgressiveEncoder: DialectEncoder {
    private let context: EncoderContext
    private var held: FinishedImage?
    private var isFinished = false

    init(_ context: EncoderContext) { self.context = context }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        switch event.event {
        case .stage(let change): self.encode(change, event, into: &out)
        case .partialImage(let preview): self.encode(preview, event, into: &out)
        case .textDelta: break
        case .image(let image):
            self.releaseHeld(into: &out)
            self.held = image
        case .completed(let completion): self.encode(completion, into: &out)
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
        var frame = self.progress(event, message: change.message)
        frame.json.field("queue_position", change.queuePosition)
        frame.json.field("estimated_ms", change.estimatedMilliseconds)
        frame.json.field("dropped", list: change.dropped)
        frame.end(into: &out)
    }

    private func encode(_ preview: PartialImage, _ event: SequencedEvent, into out: inout FrameOutput) {
        guard self.context.delivery.carriesPayload else {
            var frame = self.progress(event, message: "A preview is ready.")
            frame.json.field("preview_url", self.context.previewURL(preview, at: event))
            return frame.end(into: &out)
        }
        var frame = DataFrame(type: "partial_image")
        frame.json.field("partial_image_index", preview.partialImageIndex)
        self.writeIndex(preview.imageIndex, into: &frame)
        Self.write(preview.attributes, size: preview.attributes.size, into: &frame)
        frame.field("b64_json", payload: preview.payload, into: &out)
        frame.end(into: &out)
    }

    private mutating func encode(_ completion: Completion, into out: inout FrameOutput) {
        self.isFinished = true
        guard let image = self.held ?? completion.images.last else {
            var frame = DataFrame(type: "completed")
            frame.json.field("usage", usage: completion.usage)
            return frame.end(into: &out)
        }
        self.held = nil
        self.write(image, type: "completed", usage: completion.usage, into: &out)
    }

    private mutating func encodeFailure(_ error: GatewayError, into out: inout FrameOutput) {
        self.releaseHeld(into: &out)
        self.isFinished = true
        var frame = DataFrame(type: "error")
        frame.json.field("message", error.message)
        frame.json.field("code", error.code.rawValue)
        frame.end(into: &out)
    }

    /// A picture that turned out not to be the last.
    private mutating func releaseHeld(into out: inout FrameOutput) {
        guard let image = self.held else { return }
        self.held = nil
        self.write(image, type: "image", usage: nil, into: &out)
    }

    private func write(_ image: FinishedImage, type: StaticString, usage: Usage?, into out: inout FrameOutput) {
        var frame = DataFrame(type: type)
        ProgressiveImage.write(image, usage: usage, context: self.context, into: &frame.json)
        if let payload = image.payload(for: self.context.delivery) {
            frame.field("b64_json", payload: payload, into: &out)
        }
        frame.end(into: &out)
    }

    private func progress(_ event: SequencedEvent, message: String) -> DataFrame {
        var frame = DataFrame(type: "progress")
        frame.json.field("progress", event.progress)
        frame.json.field("message", message)
        frame.json.field("stage", staticText: event.stage.staticName)
        frame.json.field("job_id", self.context.job.text)
        return frame
    }

    private func writeIndex(_ index: Int, into frame: inout DataFrame) {
        if self.context.request.count > 1 { frame.json.field("image_index", index) }
    }

    private static func write(_ attributes: ImageAttributes, size: String, into frame: inout DataFrame) {
        frame.field("size", word: size)
        frame.field("quality", word: attributes.quality)
        frame.field("output_format", word: attributes.outputFormat)
    }
}

/// What events and answers say of a finished picture, but for its bytes.
enum ProgressiveImage {
    static func write(
        _ image: FinishedImage, usage: Usage?, context: EncoderContext, into json: inout JSONWriter
    ) {
        if context.request.count > 1 { json.field("image_index", image.imageIndex) }
        json.field("size", FrontendWord.cut(image.sizeText))
        json.field("quality", FrontendWord.cut(image.attributes.quality))
        json.field("output_format", FrontendWord.cut(image.attributes.outputFormat))
        if let usage { json.field("usage", usage: usage) }
        if context.delivery.carriesURL { json.field("url", image.link(publicURL: context.publicURL)) }
        json.field("fileSize", image.fileSize)
    }
}
