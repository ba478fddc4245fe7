import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Our own schema over server-sent events: `docs/events.md`.
package struct UnifiedDialect: Dialect {
    package let name = "unified"
    package let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    /// A heartbeat is one line without a blank one: as every event has an id, some parsers would dispatch an empty
    /// event.
    package let traits = DialectTraits(
        head: .now, heartbeat: ": ka\n", defaultDelivery: .inline, allowedDelivery: Set(Delivery.allCases),
        resumable: true)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try UnifiedRequest.decode(request, operation: operation)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        UnifiedEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        UnifiedAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        UnifiedErrorDocument.response(error, requestID: requestID)
    }

    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        UnifiedSnapshot.response(snapshot, action: endpoint.action, context: context)
    }
}
