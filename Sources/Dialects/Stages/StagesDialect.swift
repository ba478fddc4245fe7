import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// The job API of staged image services: submit, stream, poll, list and cancel below one mount.
package struct StagesDialect: Dialect {
    package let name = "stages"
    package let endpoints = [
        DialectEndpoint(method: .post, subpath: "generate", action: .submit),
        DialectEndpoint(method: .post, subpath: "generate/stream", action: .createStreaming),
        DialectEndpoint(method: .get, subpath: "jobs", action: .list),
        DialectEndpoint(method: .get, subpath: "jobs/{id}", action: .snapshot),
        DialectEndpoint(method: .get, subpath: "jobs/{id}/events", action: .stream),
        DialectEndpoint(method: .delete, subpath: "jobs/{id}", action: .cancel),
        DialectEndpoint(method: .post, subpath: "jobs/{id}/cancel", action: .cancel),
    ]
    /// Its clients split each network read at newlines, so an event is one write of its own and stays short.
    package let traits = DialectTraits(
        head: .now, heartbeat: ": ka\n\n", isolatedWrites: true, defaultDelivery: .url, allowedDelivery: [.url],
        streamByBodyOnly: true, defaultDisconnectGraceMilliseconds: 30_000)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        let image = try StagesRequest.decode(request, operation: operation)
        var decoded = DecodedRequest(image: image)
        switch endpoint.action {
        case .createStreaming: decoded.mode = .stream
        case .submit: decoded.mode = .queue
        case .create, .snapshot, .answer, .stream, .list, .cancel, .describe: break
        }
        if case .text(let provider) = image.extensions[StagesRequest.provider] { decoded.preferredUpstream = provider }
        return decoded
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        StagesEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        StagesAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        StagesErrorBody.response(error)
    }

    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        var json = JSONWriter(asciiOnly: true)
        switch endpoint.action {
        case .create, .createStreaming, .submit:
            StagesJobDocument.writeSubmission(snapshot, request: context.request, into: &json)
        case .snapshot, .answer, .stream, .list, .cancel, .describe:
            StagesJobDocument(context).write(snapshot, into: &json)
        }
        return DialectResponse(status: 200, headers: [.contentType: "application/json"], body: json.buffer)
    }

    /// `GET …/jobs`.
    package func render(
        _ jobs: [(snapshot: JobSnapshot, context: EncoderContext)], nextCursor: String?
    ) -> DialectResponse {
        var json = JSONWriter(asciiOnly: true)
        json.beginObject()
        json.key("jobs")
        json.beginArray()
        for job in jobs { StagesJobDocument(job.context).write(job.snapshot, into: &json) }
        json.endArray()
        json.field("next_cursor", orNull: nextCursor)
        json.endObject()
        return DialectResponse(status: 200, headers: [.contentType: "application/json"], body: json.buffer)
    }
}
