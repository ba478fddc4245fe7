import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Replicate's predictions, so that its stock clients work: created, waited for, polled, streamed, listed, cancelled.
/// Wire facts: https://replicate.com/docs/reference/http and https://replicate.com/docs/topics/predictions/streaming.
package struct ReplicateDialect: Dialect {
    package let name = "replicate"
    package let endpoints = [
        DialectEndpoint(method: .post, subpath: "predictions", action: .create),
        DialectEndpoint(method: .post, subpath: "models/{owner}/{model}/predictions", action: .create),
        DialectEndpoint(method: .post, subpath: "deployments/{owner}/{model}/predictions", action: .create),
        DialectEndpoint(method: .get, subpath: "predictions", action: .list),
        DialectEndpoint(method: .get, subpath: "predictions/{id}", action: .answer),
        DialectEndpoint(method: .get, subpath: "predictions/{id}/stream", action: .stream),
        DialectEndpoint(method: .post, subpath: "predictions/{id}/cancel", action: .cancel),
        DialectEndpoint(method: .get, subpath: "models/{owner}/{model}", action: .describe),
        DialectEndpoint(method: .get, subpath: "models/{owner}/{model}/versions/{version}", action: .describe),
    ]
    /// A heartbeat is one line without a blank one: as every event has an id, some parsers would dispatch an empty event.
    package let traits = DialectTraits(
        head: .commit, heartbeat: ": ka\n", defaultDelivery: .url, allowedDelivery: [.url, .inline], resumable: true,
        streamByBodyOnly: true)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try ReplicateRequest.decode(request)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        ReplicateEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        ReplicateAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        ReplicateErrorBody.response(error)
    }

    /// What was cancelled is shown as it is fetched.
    package func follow(_ call: DialectCall) throws(GatewayError) -> FollowWish {
        call.endpoint.action == .cancel ? FollowWish(.answer) : FollowWish(call)
    }

    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        var out = FrameOutput()
        ReplicatePrediction(snapshot, context).write(into: &out)
        let isCreated = endpoint.action == .create
        return DialectResponse(
            status: isCreated ? 201 : 200, headers: [.contentType: "application/json"], body: out.takeWhole())
    }

    package func render(
        _ jobs: [(snapshot: JobSnapshot, context: EncoderContext)], nextCursor: String?
    ) -> DialectResponse {
        var out = FrameOutput()
        out.json.beginObject()
        out.json.key("previous")
        out.json.null()
        let base = jobs.first.map { ReplicatePrediction.base($0.context) } ?? ""
        out.json.field("next", orNull: nextCursor.map { "\(base)/predictions?cursor=\($0)" })
        out.json.key("results")
        out.json.beginArray()
        for job in jobs { ReplicatePrediction(job.snapshot, job.context).write(into: &out) }
        out.json.endArray()
        out.json.endObject()
        return DialectResponse(status: 200, headers: [.contentType: "application/json"], body: out.takeWhole())
    }

    /// A model, or a version of one, as far as it is known here: by its name. Clients ask before or behind a prediction.
    package func describe(_ call: DialectCall) throws(GatewayError) -> DialectResponse {
        let owner = call.parameters["owner"] ?? ""
        let model = call.parameters["model"] ?? ""
        var json = JSONWriter()
        json.beginObject()
        if let version = call.parameters["version"] {
            json.field("id", version)
            json.field("created_at", staticText: "2026-01-01T00:00:00.000Z")
            json.field("cog_version", staticText: "0.16.0")
            json.key("openapi_schema")
            json.beginObject()
            json.endObject()
        } else {
            json.field("url", "\(call.base)/models/\(owner)/\(model)")
            json.field("owner", owner)
            json.field("name", model)
            for key: StaticString in ["description", "github_url", "paper_url", "license_url", "cover_image_url"] {
                json.field(key, orNull: nil as String?)
            }
            json.field("visibility", staticText: "public")
            json.field("run_count", 0)
            json.field("default_example", orNull: nil as String?)
            json.field("latest_version", orNull: nil as String?)
        }
        json.endObject()
        return DialectResponse(status: 200, headers: [.contentType: "application/json"], body: json.buffer)
    }
}
