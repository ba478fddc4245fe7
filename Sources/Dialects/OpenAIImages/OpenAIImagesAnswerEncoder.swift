import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// `ImagesResponse`: all pictures in one JSON document.
struct OpenAIImagesAnswerEncoder: DialectAnswerEncoder {
    private let context: EncoderContext
    private var images: [FinishedImage] = []
    private var terminal: JobEvent?

    init(_ context: EncoderContext) { self.context = context }

    mutating func add(_ event: SequencedEvent) {
        guard self.terminal == nil else { return }
        switch event.event {
        case .image(let image): self.images.append(image)
        case .completed, .error, .cancelled: self.terminal = event.event
        case .stage, .partialImage, .textDelta: break
        }
    }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        switch self.terminal {
        case .completed(let completion):
            guard self.images.contains(where: { $0.payload != nil }) else {
                let error = GatewayError(.internal, "The picture's bytes are no longer at hand.", billed: .yes)
                return self.fail(error, into: &out)
            }
            self.write(completion, into: &out)
            return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
        case .error(let error): return self.fail(error, into: &out)
        case .cancelled(let cancellation): return self.fail(cancellation.asError, into: &out)
        case .stage, .partialImage, .textDelta, .image, nil:
            return self.fail(GatewayError(.interrupted, "The job has not ended.", billed: .maybe), into: &out)
        }
    }

    private func write(_ completion: Completion, into out: inout FrameOutput) {
        let ordered = self.images.sorted { $0.imageIndex < $1.imageIndex }
        out.json.beginObject()
        out.json.field("created", ordered.first?.attributes.createdAt ?? self.context.createdAt.seconds)
        if let first = ordered.first {
            if !first.attributes.background.isEmpty { out.json.field("background", first.attributes.background) }
            if !first.attributes.outputFormat.isEmpty { out.json.field("output_format", first.attributes.outputFormat) }
            if !first.attributes.quality.isEmpty { out.json.field("quality", first.attributes.quality) }
            let size = first.sizeText
            if !size.isEmpty { out.json.field("size", size) }
        }
        out.json.key("data")
        out.json.beginArray()
        for image in ordered {
            guard let payload = image.payload else { continue }
            out.json.beginObject()
            out.field("b64_json", payload: payload)
            out.json.field("revised_prompt", image.revisedPrompt)
            out.json.endObject()
        }
        out.json.endArray()
        out.json.field("usage", usage: completion.usage)
        out.json.endObject()
    }

    private func fail(_ error: GatewayError, into out: inout FrameOutput) -> DialectAnswerHead {
        OpenAIErrorBody.write(error, into: &out.json)
        return DialectAnswerHead(
            status: error.code.status, headers: ErrorHeaders.make(error, contentType: "application/json"),
            error: error)
    }
}
