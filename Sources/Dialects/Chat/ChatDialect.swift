import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Chat frontends whose answers may hold pictures: `data:` frames `content`, `image_partial`, `image_completed`, `done`.
package struct ChatDialect: Dialect {
    package let name = "chat"
    package let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    /// Its clients split each network read at newlines, so an event is one write of its own.
    package let traits = DialectTraits(
        head: .now, heartbeat: ": ka\n\n", isolatedWrites: true, defaultDelivery: .both,
        allowedDelivery: [.url, .both], streamsByDefault: true, defaultDisconnectGraceMilliseconds: 30_000,
        defaultPartialImages: 2, converses: true)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try ChatRequest.decode(request, operation: operation)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        ChatEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        ChatAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        FrontendErrorBody.response(error, status: ChatRequest.status(error))
    }

    /// These frontends do not queue; one that asks with `Prefer: respond-async` is shown the job in our own form.
    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        UnifiedSnapshot.response(snapshot, action: endpoint.action, context: context)
    }
}
