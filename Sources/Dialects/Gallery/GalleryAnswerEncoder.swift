import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// All pictures, and the metadata of the `complete` event.
struct GalleryAnswerEncoder: DialectAnswerEncoder {
    private let context: EncoderContext
    private var outcome = JobOutcome()

    init(_ context: EncoderContext) { self.context = context }

    mutating func add(_ event: SequencedEvent) { self.outcome.add(event) }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        switch self.outcome.result {
        case .failure(let error): return FrontendErrorBody.fail(error, into: &out)
        case .success(let completion):
            let images = self.outcome.ordered
            out.json.beginObject()
            out.json.field("type", staticText: "complete")
            out.json.field("job_id", self.context.job.text)
            out.json.key("images")
            out.json.beginArray()
            for image in images {
                out.json.beginObject()
                out.json.field("format", image.attributes.outputFormat)
                if let payload = image.payload(for: self.context.delivery) {
                    out.field("data", payload: payload)
                } else {
                    out.json.field("url", image.link(publicURL: self.context.publicURL))
                }
                out.json.endObject()
            }
            out.json.endArray()
            GalleryMetadata.write(completion, images: images, into: &out.json)
            out.json.endObject()
            return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
        }
    }
}
