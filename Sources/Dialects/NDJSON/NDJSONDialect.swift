import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Unified events, one JSON object a line; requests, answers and errors as in `unified`.
package struct NDJSONDialect: Dialect {
    package let name = "ndjson"
    package let endpoints = [DialectEndpoint(method: .post, subpath: "", action: .create)]
    /// A heartbeat is a space: white space before the next line's object.
    package let traits = DialectTraits(
        head: .now, heartbeat: " ", streamMediaType: "application/x-ndjson", defaultDelivery: .inline,
        allowedDelivery: Set(Delivery.allCases), resumable: true)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try UnifiedRequest.decode(request, operation: operation)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        NDJSONEncoder(context)
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
