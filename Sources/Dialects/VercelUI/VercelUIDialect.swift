import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// The AI SDK's UI message stream, as `useChat` reads it.
/// Wire facts: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol
package struct VercelUIDialect: Dialect {
    package let name = "vercel-ui"
    package let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    package let traits = DialectTraits(
        head: .commit, heartbeat: ": ka\n\n", defaultDelivery: .url, allowedDelivery: [.url, .inline],
        streamsByDefault: true, streamHeaders: VercelUIDialect.streamHeaders, defaultPartialImages: 2, converses: true)

    package init() {}

    /// By this the SDK's transport knows the protocol.
    private static let streamHeaders: HTTPFields = {
        var fields = HTTPFields()
        if let name = HTTPField.Name("x-vercel-ai-ui-message-stream") { fields[name] = "v1" }
        return fields
    }()

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try VercelUIRequest.decode(request, operation: operation)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        VercelUIEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        VercelUIAnswerEncoder(context)
    }

    /// Plain text: the SDK shows the whole body to the user.
    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        DialectResponse(
            status: ChatRequest.status(error),
            headers: ErrorHeaders.make(error, contentType: "text/plain; charset=utf-8"),
            body: ByteBuffer(string: error.message))
    }

    /// The SDK has no call for this; a job queued by `Prefer: respond-async` is shown in our own form.
    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        UnifiedSnapshot.response(snapshot, action: endpoint.action, context: context)
    }
}
