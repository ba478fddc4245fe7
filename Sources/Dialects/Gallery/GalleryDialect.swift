import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Frontends with a wall of pictures: `data:` frames `progress`, `partial_image`, `image` for each picture, `complete`.
package struct GalleryDialect: Dialect {
    package let name = "gallery"
    package let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    /// Its clients split each network read at newlines, so an event is one write of its own.
    package let traits = DialectTraits(
        head: .now, heartbeat: ": ka\n\n", isolatedWrites: true, defaultDelivery: .inline,
        allowedDelivery: [.inline, .url], streamsByDefault: true, defaultDisconnectGraceMilliseconds: 30_000,
        defaultPartialImages: 2)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try FrontendRequest.decode(request, operation: operation)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        GalleryEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        GalleryAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        FrontendErrorBody.response(error)
    }

    /// These frontends do not queue; one that asks with `Prefer: respond-async` is shown the job in our own form.
    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        UnifiedSnapshot.response(snapshot, action: endpoint.action, context: context)
    }
}
