import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// OpenAI's Responses API with the `image_generation` tool, so that its stock SDKs work: created, streamed, taken up again behind
/// `starting_after`, retrieved, cancelled.
/// Wire facts: https://platform.openai.com/docs/api-reference/responses and `responses-streaming`.
package struct OpenAIResponsesDialect: Dialect {
    package let name = "openai-responses"
    package let endpoints = [
        DialectEndpoint(method: .post, subpath: "", action: .create),
        DialectEndpoint(method: .get, subpath: "{id}", action: .answer),
        DialectEndpoint(method: .post, subpath: "{id}/cancel", action: .cancel),
    ]
    /// Comment blocks are safe here, as no event has an id.
    package let traits = DialectTraits(
        head: .commit, heartbeat: ": ka\n\n", streamByBodyOnly: true, rateLimitStyle: .openAI)

    package init() {}

    package func decode(
        _ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        try OpenAIResponsesRequest.decode(request)
    }

    package func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder {
        OpenAIResponsesEncoder(context)
    }

    package func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder {
        OpenAIResponsesAnswerEncoder(context)
    }

    package func render(_ error: GatewayError, requestID: String) -> DialectResponse {
        OpenAIErrorBody.response(error)
    }

    /// Retrieval streams where the query says `stream=true`. What was cancelled is shown as it is retrieved.
    package func follow(_ call: DialectCall) throws(GatewayError) -> FollowWish {
        guard call.endpoint.action == .answer else { return FollowWish(.answer) }
        let streams = try Self.flag(call, "stream")
        guard let text = call.query("starting_after") else { return FollowWish(streams ? .stream : .answer) }
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text),
            let part = ResponsePart.position(after: number)
        else {
            throw GatewayError(
                .invalidParameter, "starting_after: must be the sequence_number of an event.",
                parameter: "starting_after")
        }
        return streams ? FollowWish(.stream, position: .part(part)) : FollowWish(.answer)
    }

    private static func flag(_ call: DialectCall, _ name: String) throws(GatewayError) -> Bool {
        switch call.query(name) {
        case nil, "false", "0": return false
        case "true", "1": return true
        default: throw GatewayError(.invalidParameter, "\(name): must be true or false.", parameter: name)
        }
    }

    /// A response that was just handed over: no pictures yet.
    package func render(
        _ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext
    ) -> DialectResponse {
        var output = ResponseOutput(job: snapshot.job)
        for image in snapshot.images { output.finish(image) }
        var standing = ResponseStanding(background: ResponseDocument.isBackground(context.request))
        standing.take(snapshot.terminal, at: snapshot.finishedAt)
        if snapshot.stage > .queued { standing.begin() }
        var out = FrameOutput()
        ResponseDocument(context).write(standing, output, into: &out)
        return DialectResponse(
            status: 200, headers: [.contentType: "application/json"], body: out.takeWhole())
    }
}
