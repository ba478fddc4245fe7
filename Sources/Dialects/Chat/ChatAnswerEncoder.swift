import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// The whole answer as one object: its text, its pictures, and what the last event says.
struct ChatAnswerEncoder: DialectAnswerEncoder {
    private let context: EncoderContext
    private var outcome = JobOutcome()

    init(_ context: EncoderContext) { self.context = context }

    mutating func add(_ event: SequencedEvent) { self.outcome.add(event) }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        if case .failure(let error) = self.outcome.result {
            return FrontendErrorBody.fail(error, status: ChatRequest.status(error), into: &out)
        }
        let images = self.outcome.ordered
        out.json.beginObject()
        out.json.field("content", self.outcome.text)
        out.json.key("images")
        out.json.beginArray()
        for image in images {
            out.json.beginObject()
            ChatImage.write(image, context: self.context, into: &out.json)
            out.json.endObject()
        }
        out.json.endArray()
        out.json.field("done", true)
        out.json.field("chatId", ChatRequest.chatID(self.context))
        out.json.field("messageId", self.context.job.text)
        out.json.field("imageGenerated", !images.isEmpty)
        out.json.endObject()
        return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
    }
}
