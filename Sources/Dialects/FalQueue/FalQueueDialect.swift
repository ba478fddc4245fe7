import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// fal's queue, so that its stock clients work: submitted, followed by polling or by a stream, fetched, cancelled. The model is whatever
/// the path says ahead of `requests/`.
/// Wire facts: https://docs.fal.ai/model-apis/model-endpoints/queue.
package struct FalQueueDialect: Dialect {
    package let name = "fal-queue"
    static let result = DialectEndpoint(method: .get, subpath: "{model...}/requests/{id}", action: .answer)
    static let status = DialectEndpoint(method: .get, subpath: "{model...}/requests/{id}/status", action: .answer)
    package let endpoints = [
        DialectEndpoint(method: .get, subpath: "{model...}/requests/{id}/status/stream", action: .stream),
        Self.status,
        DialectEndpoint(method: .put, subpath: "{model...}/requests/{id}/cancel", action: .cancel),
        Self.result,
        DialectEndpoint(method: .post, subpath: "{model...}", action: .create),
    ]
    package let traits = DialectTraits(
        head: .commit, heartbeat: ": ka\n\n", defaultDelivery: .url, allowedDelivery: [.url, .inline],
        streamByBodyOnly: true)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try FalQueueRequest.decode(request)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        FalQueueEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        guard context.call?.endpoint.subpath == Self.status.subpath else { return FalQueueResultEncoder(context) }
        return FalQueueStatusEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        FalQueueErrorBody.response(error, requestID: requestID)
    }

    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        var json = JSONWriter()
        var status = 200
        if endpoint.action == .cancel {
            // A job that is cancelled takes a second cancellation for the first one, sent again.
            let isOver =
                switch snapshot.terminal {
                case .completed, .error: true
                case .cancelled, .stage, .partialImage, .textDelta, .image, nil: false
                }
            status = isOver ? 400 : 202
            json.beginObject()
            json.field("status", staticText: isOver ? "ALREADY_COMPLETED" : "CANCELLATION_REQUESTED")
            json.endObject()
        } else {
            FalQueueStatus(snapshot, context).write(logs: nil, into: &json)
        }
        return DialectResponse(
            status: status, headers: FalQueueErrorBody.headers(requestID: snapshot.job.text), body: json.buffer)
    }
}
