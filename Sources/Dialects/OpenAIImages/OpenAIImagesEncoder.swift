import ImageGeneration
import NIOCore
import StreamCodecs

/// `image_generation.*` or `image_edit.*` events.
///
/// Never an `id:` and never a `retry:` of its own: with either, the Python SDK fails on a later comment block. Only the
/// two event types and `error` are written: SDKs hand unknown types to the application as mistyped previews.
struct OpenAIImagesEncoder: DialectEncoder {
    private let operation: ImageRequest.Operation
    private let previewsAsked: Int
    private let showsImageIndex: Bool
    /// For each image: previews written so far; `previewsAsked` once it is finished.
    private var previews: [Int]
    private var isFinished = false

    /// Beyond this no upstream counts images, and the table above does not grow.
    private static let maximumImages = 1024

    init(_ context: EncoderContext) {
        self.operation = context.request.operation
        self.previewsAsked = context.request.partialImages ?? 0
        self.showsImageIndex = context.request.count > 1
        self.previews = [Int](repeating: 0, count: min(max(1, context.request.count), Self.maximumImages))
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        switch event.event {
        case .stage, .textDelta: break
        case .partialImage(let preview): self.encode(preview, into: &out)
        case .image(let image): self.encode(image, into: &out)
        // The stream ends behind the last `completed`. Pictures that failed beside finished ones stay unsaid: an error
        // event would make the SDK throw away those that came.
        case .completed: self.isFinished = true
        case .error(let error): self.encodeError(error, into: &out)
        case .cancelled(let cancellation): self.encodeError(cancellation.asError, into: &out)
        }
    }

    /// Not resumable: such a stream always starts at the first event.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.encodeError(error, into: &out)
    }

    /// Renumbered from 0 without gaps, and never more than asked.
    private mutating func encode(_ preview: PartialImage, into out: inout FrameOutput) {
        guard let slot = self.slot(preview.imageIndex), self.previews[slot] < self.previewsAsked else { return }
        self.begin(
            self.operation == .edit ? "image_edit.partial_image" : "image_generation.partial_image",
            payload: preview.payload, attributes: preview.attributes, size: preview.attributes.size, into: &out)
        out.json.field("partial_image_index", self.previews[slot])
        self.end(imageIndex: preview.imageIndex, into: &out)
        self.previews[slot] += 1
    }

    private mutating func encode(_ image: FinishedImage, into out: inout FrameOutput) {
        guard let payload = image.payload else {
            let error = GatewayError(.internal, "The picture's bytes are no longer at hand.", billed: .yes)
            return self.encodeError(error, into: &out)
        }
        if let slot = self.slot(image.imageIndex) { self.previews[slot] = self.previewsAsked }
        self.begin(
            self.operation == .edit ? "image_edit.completed" : "image_generation.completed", payload: payload,
            attributes: image.attributes, size: image.sizeText, into: &out)
        out.json.field("usage", usage: image.usage ?? .zero)
        self.end(imageIndex: image.imageIndex, into: &out)
    }

    private func begin(
        _ type: StaticString, payload: ImagePayload, attributes: ImageAttributes, size: String,
        into out: inout FrameOutput
    ) {
        out.write("event: ")
        out.write(type)
        out.write("\ndata: ")
        out.json.beginObject()
        out.json.field("type", staticText: type)
        out.field("b64_json", payload: payload)
        out.json.field("created_at", attributes.createdAt)
        out.json.field("size", size.isEmpty ? "auto" : size)
        out.json.field("quality", attributes.quality.isEmpty ? "auto" : attributes.quality)
        out.json.field("background", attributes.background.isEmpty ? "auto" : attributes.background)
        out.json.field("output_format", attributes.outputFormat.isEmpty ? "png" : attributes.outputFormat)
    }

    /// The schema knows no image index; SDKs keep the extra member and ignore it.
    private func end(imageIndex: Int, into out: inout FrameOutput) {
        if self.showsImageIndex { out.json.field("image_index", imageIndex) }
        out.json.endObject()
        out.write("\n\n")
    }

    /// Nested, else the Python SDK yields it as an event instead of raising.
    private mutating func encodeError(_ error: GatewayError, into out: inout FrameOutput) {
        self.isFinished = true
        out.write("event: error\ndata: ")
        out.json.beginObject()
        out.json.field("type", staticText: "error")
        OpenAIErrorBody.writeMember(error, into: &out.json)
        out.json.endObject()
        out.write("\n\n")
    }

    private mutating func slot(_ imageIndex: Int) -> Int? {
        guard (0..<Self.maximumImages).contains(imageIndex) else { return nil }
        while self.previews.count <= imageIndex { self.previews.append(0) }
        return imageIndex
    }
}
