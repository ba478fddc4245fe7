import ImageGeneration
import NIOCore
import StreamCodecs

/// `response.*` events: `response.created` first, one of `response.completed` and `response.failed` last.
///
/// Never an `id:` and never a `retry:` of its own: with either, the Python SDK fails on a later comment block. No type is invented: SDKs
/// hand unknown ones to the application as something else.
struct OpenAIResponsesEncoder: DialectEncoder {
    private let request: ImageRequest
    private let document: ResponseDocument
    private let isBackground: Bool
    /// The client has seen the frames up to this one.
    private let seen: EventPart?
    private var standing: ResponseStanding
    private var output: ResponseOutput
    /// The last frame of the response's beginning that the client has.
    private var opened: ResponsePart?
    /// The same for each picture.
    private var begun: [Int: ResponsePart] = [:]
    private var previews: [Int: Int] = [:]
    private var number: UInt32 = 0
    private var isFinished = false

    init(_ context: EncoderContext) {
        self.request = context.request
        self.document = ResponseDocument(context)
        self.isBackground = ResponseDocument.isBackground(context.request)
        self.standing = ResponseStanding(background: self.isBackground)
        self.output = ResponseOutput(job: context.job)
        self.seen = context.seen
        guard let seen = context.seen, let last = ResponsePart(rawValue: seen.part) else { return }
        // The events that brought these frames may have been superseded by later ones, which would bring them again.
        self.opened = min(last, .inProgress)
        if last >= .inProgress { self.standing.begin() }
        guard last >= .itemAdded, last <= .itemDone else { return }
        self.begun[0] = min(last, .callGenerating)
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.number = event.sequence.number
        self.open(event.stage, into: &out)
        switch event.event {
        case .stage: break
        case .partialImage(let preview): self.encode(preview, into: &out)
        case .textDelta(let text): self.encode(text, into: &out)
        case .image(let image): self.encode(image, into: &out)
        case .completed(let completion): self.finish(event, completion, into: &out)
        case .error, .cancelled:
            self.standing.take(event.event, at: event.at)
            self.end("response.failed", into: &out)
        }
    }

    /// A client that is told of a gap has no position of its own here; it begins anew.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    /// Nested, else the Python SDK yields it as an event instead of raising. The response itself may go on.
    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.isFinished = true
        out.write("event: error\ndata: ")
        out.json.beginObject()
        out.json.field("type", staticText: "error")
        out.json.field("sequence_number", ResponsePart.end.sequenceNumber(self.number))
        OpenAIErrorBody.writeMember(error, into: &out.json)
        out.json.endObject()
        out.write("\n\n")
    }

    // MARK: Beginnings

    /// What has to be told before anything that happens in `stage`.
    private mutating func open(_ stage: Stage, into out: inout FrameOutput) {
        self.open(.created, "response.created", into: &out)
        if self.isBackground { self.open(.queued, "response.queued", into: &out) }
        if stage > .queued, stage <= .completed {
            self.standing.begin()
            self.open(.inProgress, "response.in_progress", into: &out)
        }
        let draws = stage == .generating || stage == .uploading
        if draws, self.request.picture == .always { _ = self.begin(0, into: &out) }
    }

    private mutating func open(_ part: ResponsePart, _ type: StaticString, into out: inout FrameOutput) {
        if let opened = self.opened, opened >= part { return }
        self.opened = part
        self.response(part, type, into: &out)
    }

    /// - Returns: the picture's place in the output.
    private mutating func begin(_ imageIndex: Int, into out: inout FrameOutput) -> Int {
        let item = ResponseOutput.Item.image(imageIndex)
        let (index, _) = self.output.place(item)
        let begun = self.begun[imageIndex]
        guard begun != .callGenerating else { return index }
        self.begun[imageIndex] = .callGenerating
        if begun == nil { self.item(.itemAdded, "response.output_item.added", item, isDone: false, into: &out) }
        if begun != .callInProgress {
            self.call(.callInProgress, "response.image_generation_call.in_progress", item, into: &out)
        }
        self.call(.callGenerating, "response.image_generation_call.generating", item, into: &out)
        return index
    }

    // MARK: Events

    /// Never more previews than asked for.
    private mutating func encode(_ preview: PartialImage, into out: inout FrameOutput) {
        let written = self.previews[preview.imageIndex, default: 0]
        guard written < self.request.partialImages ?? 0 else { return }
        self.previews[preview.imageIndex] = written + 1
        let index = self.begin(preview.imageIndex, into: &out)
        let id = self.output.id(.image(preview.imageIndex))
        self.frame(.partialImage, "response.image_generation_call.partial_image", into: &out) { out in
            out.json.field("item_id", id)
            out.json.field("output_index", index)
            out.json.field("partial_image_index", preview.partialImageIndex)
            let attributes = preview.attributes
            if !attributes.size.isEmpty { out.json.field("size", attributes.size) }
            if !attributes.quality.isEmpty { out.json.field("quality", attributes.quality) }
            if !attributes.background.isEmpty { out.json.field("background", attributes.background) }
            if !attributes.outputFormat.isEmpty { out.json.field("output_format", attributes.outputFormat) }
            out.field("partial_image_b64", payload: preview.payload)
        }
    }

    private mutating func encode(_ image: FinishedImage, into out: inout FrameOutput) {
        guard image.payload != nil else {
            let error = GatewayError(.internal, "The picture's bytes are no longer at hand.", billed: .yes)
            self.standing.fail(error, at: nil)
            return self.end("response.failed", into: &out)
        }
        _ = self.begin(image.imageIndex, into: &out)
        self.output.finish(image)
        let item = ResponseOutput.Item.image(image.imageIndex)
        self.call(.callCompleted, "response.image_generation_call.completed", item, into: &out)
        self.item(.itemDone, "response.output_item.done", item, isDone: true, into: &out)
    }

    private mutating func encode(_ text: String, into out: inout FrameOutput) {
        let (_, isNew) = self.output.place(.message)
        if isNew {
            self.item(.messageAdded, "response.output_item.added", .message, isDone: false, into: &out)
            self.content(.contentAdded, "response.content_part.added", into: &out) { out in
                out.json.key("part")
                ResponseOutput.writeText("", into: &out.json)
            }
        }
        self.output.append(text)
        self.content(.textDelta, "response.output_text.delta", into: &out) { out in
            out.json.field("delta", text)
            Self.writeNoLogprobs(into: &out.json)
        }
    }

    private mutating func finish(_ event: SequencedEvent, _ completion: Completion, into out: inout FrameOutput) {
        for (count, failure) in completion.failures.enumerated() {
            let isShown = self.output.items.contains(.image(failure.imageIndex))
            self.output.fail(failure)
            // An event has one number for the end of an item: further ones are told by the response itself.
            guard isShown, count == 0 else { continue }
            self.item(.itemDone, "response.output_item.done", .image(failure.imageIndex), isDone: true, into: &out)
        }
        if self.output.items.contains(.message) {
            let text = self.output.text
            self.content(.textDone, "response.output_text.done", into: &out) { out in
                out.json.field("text", text)
                Self.writeNoLogprobs(into: &out.json)
            }
            self.content(.contentDone, "response.content_part.done", into: &out) { out in
                out.json.key("part")
                ResponseOutput.writeText(text, into: &out.json)
            }
            self.item(.messageDone, "response.output_item.done", .message, isDone: true, into: &out)
        }
        self.standing.take(event.event, at: event.at)
        self.end("response.completed", into: &out)
    }

    private mutating func end(_ type: StaticString, into out: inout FrameOutput) {
        self.isFinished = true
        self.response(.end, type, into: &out)
    }

    // MARK: Frames

    private func response(_ part: ResponsePart, _ type: StaticString, into out: inout FrameOutput) {
        self.frame(part, type, into: &out) { out in
            out.json.key("response")
            self.document.write(self.standing, self.output, into: &out)
        }
    }

    private func item(
        _ part: ResponsePart, _ type: StaticString, _ item: ResponseOutput.Item, isDone: Bool,
        into out: inout FrameOutput
    ) {
        self.frame(part, type, into: &out) { out in
            out.json.field("output_index", self.output.items.firstIndex(of: item))
            out.json.key("item")
            self.output.write(item, isDone: isDone, self.request.operation, into: &out)
        }
    }

    private func call(
        _ part: ResponsePart, _ type: StaticString, _ item: ResponseOutput.Item, into out: inout FrameOutput
    ) {
        self.frame(part, type, into: &out) { out in
            out.json.field("output_index", self.output.items.firstIndex(of: item))
            out.json.field("item_id", self.output.id(item))
        }
    }

    private func content(
        _ part: ResponsePart, _ type: StaticString, into out: inout FrameOutput,
        _ members: (inout FrameOutput) -> Void
    ) {
        self.frame(part, type, into: &out) { out in
            out.json.field("item_id", self.output.id(.message))
            out.json.field("output_index", self.output.items.firstIndex(of: .message))
            out.json.field("content_index", 0)
            members(&out)
        }
    }

    private static func writeNoLogprobs(into json: inout JSONWriter) {
        json.key("logprobs")
        json.beginArray()
        json.endArray()
    }

    private func frame(
        _ part: ResponsePart, _ type: StaticString, into out: inout FrameOutput,
        _ members: (inout FrameOutput) -> Void
    ) {
        if let seen = self.seen, EventPart(number: self.number, part: part.rawValue) <= seen { return }
        out.write("event: ")
        out.write(type)
        out.write("\ndata: ")
        out.json.beginObject()
        out.json.field("type", staticText: type)
        out.json.field("sequence_number", part.sequenceNumber(self.number))
        members(&out)
        out.json.endObject()
        out.write("\n\n")
    }
}
