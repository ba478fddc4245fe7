import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One JSON document for a client that waits: the outcome with every finished picture, or the error document.
struct UnifiedAnswerEncoder: DialectAnswerEncoder {
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
            self.write(completion, into: &out)
            return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
        case .error(let error): return self.fail(error, into: &out)
        case .cancelled(let cancellation): return self.fail(cancellation.asError, into: &out)
        case .stage, .partialImage, .textDelta, .image, nil:
            return self.fail(GatewayError(.interrupted, "The job has not ended.", billed: .maybe), into: &out)
        }
    }

    private func write(_ completion: Completion, into out: inout FrameOutput) {
        out.json.beginObject()
        out.json.field("job_id", self.context.job.text)
        out.json.field("status", staticText: "completed")
        out.json.key("images")
        out.json.beginArray()
        for image in self.images.sorted(by: { $0.imageIndex < $1.imageIndex }) {
            out.json.beginObject()
            UnifiedJSON.writeImage(image, delivery: self.context.delivery, into: &out)
            out.json.endObject()
        }
        out.json.endArray()
        UnifiedJSON.writeOutcome(completion, into: &out.json)
        out.json.endObject()
    }

    private func fail(_ error: GatewayError, into out: inout FrameOutput) -> DialectAnswerHead {
        UnifiedErrorDocument.write(error, job: self.context.job, requestID: nil, into: &out.json)
        return DialectAnswerHead(
            status: error.code.status, headers: ErrorHeaders.make(error, contentType: UnifiedErrorDocument.mediaType),
            error: error)
    }
}
