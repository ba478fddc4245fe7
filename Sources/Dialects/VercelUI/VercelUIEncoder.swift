import ImageGeneration
import NIOCore
import StreamCodecs

/// Chunks of the UI message stream. The SDK's schema is strict: a chunk of an unknown type fails the whole message, so what
/// is ours is `data-…`. Status chunks share one id, by which each replaces the last; previews are transient, else the SDK
/// would send every one of them back with the next request.
struct VercelUIEncoder: DialectEncoder {
    private let context: EncoderContext
    private var hasBegun = false
    private var isTextOpen = false
    private var isFinished = false

    init(_ context: EncoderContext) { self.context = context }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.begin(into: &out)
        switch event.event {
        case .stage(let change): Self.writeStatus(event, change, into: &out)
        case .partialImage(let preview): Self.write(preview, into: &out)
        case .textDelta(let text): self.write(text, into: &out)
        case .image(let image): self.write(image, into: &out)
        case .completed: self.encodeEnd(event, into: &out)
        case .error(let error): self.encodeFailure(error, into: &out)
        case .cancelled(let cancellation): self.encodeCancellation(cancellation, into: &out)
        }
    }

    /// Not resumable: such a stream always starts at the first event.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.begin(into: &out)
        self.encodeFailure(error, into: &out)
    }

    // MARK: Parts

    private mutating func begin(into out: inout FrameOutput) {
        guard !self.hasBegun else { return }
        self.hasBegun = true
        Self.begin("start", into: &out)
        out.json.field("messageId", self.context.job.text)
        Self.end(into: &out)
        Self.chunk("start-step", into: &out)
    }

    private static func writeStatus(_ event: SequencedEvent, _ change: StageChange?, into out: inout FrameOutput) {
        self.begin("data-image-status", into: &out)
        out.json.field("id", staticText: "img_0")
        out.json.key("data")
        out.json.beginObject()
        out.json.field("stage", staticText: event.stage.staticName)
        out.json.field("progress", Double(event.progress) / 100)
        out.json.field("queuePosition", change?.queuePosition)
        out.json.field("message", change?.message)
        out.json.field("dropped", list: change?.dropped ?? [])
        out.json.endObject()
        self.end(into: &out)
    }

    private static func write(_ preview: PartialImage, into out: inout FrameOutput) {
        self.begin("data-image-preview", into: &out)
        out.json.field("id", "img_\(preview.imageIndex)-preview")
        out.json.key("data")
        out.json.beginObject()
        out.json.field("index", preview.partialImageIndex)
        out.json.field("mediaType", preview.attributes.mediaType)
        VercelUIFile.writeDataURL(preview.payload, preview.attributes.mediaType, into: &out)
        out.json.endObject()
        out.json.field("transient", true)
        self.end(into: &out)
    }

    private mutating func write(_ text: String, into out: inout FrameOutput) {
        if !self.isTextOpen {
            self.isTextOpen = true
            Self.begin("text-start", into: &out)
            out.json.field("id", staticText: "text_0")
            Self.end(into: &out)
        }
        Self.begin("text-delta", into: &out)
        out.json.field("id", staticText: "text_0")
        out.json.field("delta", text)
        Self.end(into: &out)
    }

    private func write(_ image: FinishedImage, into out: inout FrameOutput) {
        Self.begin("file", into: &out)
        VercelUIFile.write(image, context: self.context, into: &out)
        Self.end(into: &out)
    }

    // MARK: Endings

    private mutating func encodeEnd(_ event: SequencedEvent, into out: inout FrameOutput) {
        self.endText(into: &out)
        Self.writeStatus(event, nil, into: &out)
        Self.chunk("finish-step", into: &out)
        self.finish("stop", into: &out)
    }

    private mutating func encodeFailure(_ error: GatewayError, into out: inout FrameOutput) {
        self.endText(into: &out)
        Self.begin("error", into: &out)
        out.json.field("errorText", error.message)
        Self.end(into: &out)
        self.finish(error.code == .refused ? "content-filter" : "error", into: &out)
    }

    private mutating func encodeCancellation(_ cancellation: Cancellation, into out: inout FrameOutput) {
        self.endText(into: &out)
        Self.begin("abort", into: &out)
        out.json.field("reason", cancellation.asError.message)
        Self.end(into: &out)
        self.close(into: &out)
    }

    private mutating func endText(into out: inout FrameOutput) {
        guard self.isTextOpen else { return }
        self.isTextOpen = false
        Self.begin("text-end", into: &out)
        out.json.field("id", staticText: "text_0")
        Self.end(into: &out)
    }

    private mutating func finish(_ reason: StaticString, into out: inout FrameOutput) {
        Self.begin("finish", into: &out)
        out.json.field("finishReason", staticText: reason)
        Self.end(into: &out)
        self.close(into: &out)
    }

    private mutating func close(into out: inout FrameOutput) {
        self.isFinished = true
        out.write("data: [DONE]\n\n")
    }

    // MARK: Framing

    private static func begin(_ type: StaticString, into out: inout FrameOutput) {
        out.write("data: ")
        out.json.beginObject()
        out.json.field("type", staticText: type)
    }

    private static func end(into out: inout FrameOutput) {
        out.json.endObject()
        out.write("\n\n")
    }

    private static func chunk(_ type: StaticString, into out: inout FrameOutput) {
        self.begin(type, into: &out)
        self.end(into: &out)
    }
}

/// `url` and `mediaType` of a picture, in `file` chunks and parts.
enum VercelUIFile {
    static func write(_ image: FinishedImage, context: EncoderContext, into out: inout FrameOutput) {
        out.json.field("mediaType", image.mediaType)
        if let payload = image.payload(for: context.delivery) {
            self.writeDataURL(payload, image.mediaType, into: &out)
        } else {
            out.json.field("url", image.link(publicURL: context.publicURL))
        }
    }

    static func writeDataURL(_ payload: ImagePayload, _ mediaType: String, into out: inout FrameOutput) {
        out.json.key("url")
        out.json.beginSplicedString()
        out.write("data:")
        out.json.buffer.writeString(mediaType)
        out.write(";base64,")
        out.splice(payload)
        out.json.endSplicedString()
    }
}
