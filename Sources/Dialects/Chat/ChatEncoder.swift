import ImageGeneration
import NIOCore
import StreamCodecs

/// `{content}` for text, `{image_partial}` for previews, `{image_completed}` for pictures, `{done}` or `{error}` at the end.
///
/// Stages have no word here. The first event is an empty `content` with the ids, so that the client has something within
/// milliseconds. A finished picture is always told by its URL, in an event that fits into one network read.
struct ChatEncoder: DialectEncoder {
    private let context: EncoderContext
    private let chatID: String
    private var hasBegun = false
    private var hasImage = false
    private var isFinished = false

    init(_ context: EncoderContext) {
        self.context = context
        self.chatID = ChatRequest.chatID(context)
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.begin(event.event, into: &out)
        switch event.event {
        case .stage: break
        case .partialImage(let preview): self.encode(preview, into: &out)
        case .textDelta(let text):
            var frame = DataFrame()
            frame.json.field("content", text)
            frame.end(into: &out)
        case .image(let image): self.encode(image, into: &out)
        case .completed: self.encodeEnd(into: &out)
        case .error(let error): self.encodeFailure(error.message, error.code, into: &out)
        case .cancelled: self.encodeFailure("cancelled", .cancelled, into: &out)
        }
    }

    /// Not resumable: such a stream always starts at the first event.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.encodeFailure(error.message, error.code, into: &out)
    }

    private mutating func begin(_ event: JobEvent, into out: inout FrameOutput) {
        guard !self.hasBegun else { return }
        self.hasBegun = true
        var frame = DataFrame()
        frame.json.field("content", staticText: "")
        self.writeIDs(into: &frame)
        if case .stage(let change) = event { frame.json.field("dropped", list: change.dropped) }
        frame.end(into: &out)
    }

    private func encode(_ preview: PartialImage, into out: inout FrameOutput) {
        guard self.context.delivery.carriesPayload else { return }
        var frame = DataFrame()
        frame.json.key("image_partial")
        frame.json.beginObject()
        frame.json.field("partial_image_index", preview.partialImageIndex)
        self.writeIndex(preview.imageIndex, into: &frame)
        frame.field("format", word: preview.attributes.outputFormat)
        frame.field("b64_json", payload: preview.payload, into: &out)
        frame.json.endObject()
        frame.end(into: &out)
    }

    private mutating func encode(_ image: FinishedImage, into out: inout FrameOutput) {
        self.hasImage = true
        var frame = DataFrame()
        frame.json.key("image_completed")
        frame.json.beginObject()
        ChatImage.write(image, context: self.context, into: &frame.json)
        frame.json.endObject()
        frame.end(into: &out)
    }

    private mutating func encodeEnd(into out: inout FrameOutput) {
        self.isFinished = true
        var frame = DataFrame()
        frame.json.field("done", true)
        self.writeIDs(into: &frame)
        frame.json.field("imageGenerated", self.hasImage)
        frame.end(into: &out)
    }

    private mutating func encodeFailure(_ text: String, _ code: GatewayError.Code, into out: inout FrameOutput) {
        self.isFinished = true
        var frame = DataFrame()
        frame.json.field("error", text)
        frame.json.field("code", code.rawValue)
        frame.end(into: &out)
    }

    private func writeIDs(into frame: inout DataFrame) {
        frame.json.field("chatId", self.chatID)
        frame.json.field("messageId", self.context.job.text)
    }

    private func writeIndex(_ index: Int, into frame: inout DataFrame) {
        if self.context.request.count > 1 { frame.json.field("image_index", index) }
    }
}

/// `{url, format, fileSize}`
enum ChatImage {
    static func write(_ image: FinishedImage, context: EncoderContext, into json: inout JSONWriter) {
        json.field("url", image.link(publicURL: context.publicURL))
        json.field("format", FrontendWord.cut(image.attributes.outputFormat))
        json.field("fileSize", image.fileSize)
        if context.request.count > 1 { json.field("image_index", image.imageIndex) }
    }
}
