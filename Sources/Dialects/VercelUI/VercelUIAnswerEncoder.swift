import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// The finished message: `{id, role, parts}`.
struct VercelUIAnswerEncoder: DialectAnswerEncoder {
    private let context: EncoderContext
    private var outcome = JobOutcome()

    init(_ context: EncoderContext) { self.context = context }

    mutating func add(_ event: SequencedEvent) { self.outcome.add(event) }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        if case .failure(let error) = self.outcome.result {
            return FrontendErrorBody.fail(error, status: ChatRequest.status(error), into: &out)
        }
        out.json.beginObject()
        out.json.field("id", self.context.job.text)
        out.json.field("role", staticText: "assistant")
        out.json.key("parts")
        out.json.beginArray()
        if !self.outcome.text.isEmpty {
            out.json.beginObject()
            out.json.field("type", staticText: "text")
            out.json.field("text", self.outcome.text)
            out.json.endObject()
        }
        for image in self.outcome.ordered {
            out.json.beginObject()
            out.json.field("type", staticText: "file")
            VercelUIFile.write(image, context: self.context, into: &out)
            out.json.endObject()
        }
        out.json.endArray()
        out.json.endObject()
        return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
    }
}
