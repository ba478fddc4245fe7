import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// OpenAI's Images API, so that its stock SDKs work: generations and edits, streamed or not.
/// Wire facts: https://platform.openai.com/docs/api-reference/images and `images-streaming`.
package struct OpenAIImagesDialect: Dialect {
    package let name = "openai-images"
    package let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    /// Comment blocks are safe here, as no event has an id.
    package let traits = DialectTraits(
        head: .commit, heartbeat: ": ka\n\n", streamByBodyOnly: true, rateLimitStyle: .openAI)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try OpenAIImagesRequest.decode(request, operation: operation)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        OpenAIImagesEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        OpenAIImagesAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        OpenAIErrorBody.response(error)
    }

    /// OpenAI has no call for an image job's state; a job queued by `Prefer: respond-async` is shown in our own form.
    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        UnifiedSnapshot.response(snapshot, action: endpoint.action, context: context)
    }
}
