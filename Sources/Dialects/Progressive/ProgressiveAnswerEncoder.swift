import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One picture as its `completed` event says it; of several, a list of them.
struct ProgressiveAnswerEncoder: DialectAnswerEncoder {
    private let context: EncoderContext
    private var outcome = JobOutcome()

    init(_ context: EncoderContext) { self.context = context }

    mutating func add(_ event: SequencedEvent) { self.outcome.add(event) }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        switch self.outcome.result {
        case .failure(let error): return FrontendErrorBody.fail(error, into: &out)
        case .success(let completion):
            out.json.beginObject()
            out.json.field("type", staticText: "completed")
            out.json.field("job_id", self.context.job.text)
            let images = self.outcome.ordered
            if images.count == 1 {
                self.write(images[0], usage: completion.usage, into: &out)
            } else {
                out.json.key("images")
                out.json.beginArray()
                for image in images {
                    out.json.beginObject()
                    self.write(image, usage: nil, into: &out)
                    out.json.endObject()
                }
                out.json.endArray()
                out.json.field("usage", usage: completion.usage)
            }
            out.json.endObject()
            return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
        }
    }

    private func write(_ image: FinishedImage, usage: Usage?, into out: inout FrameOutput) {
        ProgressiveImage.write(image, usage: usage, context: self.context, into: &out.json)
        if let payload = image.payload(for: self.context.delivery) { out.field("b64_json", payload: payload) }
    }
}
