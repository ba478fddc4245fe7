package import ImageGeneration

extension OpenAIResponsesDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        let failure = EndpointDocument.Content.json(OpenAIErrorDocument.schema)
        let response = EndpointDocument.Content.json(OpenAIResponsesDocument.response)
        let events = EndpointDocument.Content.events(
            "`response.*` events, from `response.created` to `response.completed`.")
        switch endpoint.action {
        case .create, .createStreaming, .submit:
            return EndpointDocument(
                "Makes a response with the image_generation tool, as OpenAI's Responses API",
                description:
                    "Streams with `\"stream\": true`, is left running with `\"background\": true`, else waits.",
                body: OpenAIResponsesDocument.body,
                answers: [.init(200, "The response, or its events.", response, events), .accepted], failure: failure)
        case .cancel:
            return EndpointDocument(
                "Cancels a response", answers: [.init(200, "Where it stands.", response)], failure: failure)
        case .snapshot, .answer, .stream, .list, .describe:
            return EndpointDocument(
                "Gives a response as it stands, or its events from a position on",
                query: [
                    .init("stream", .words(["true", "false", "1", "0"]), "Streams its events."),
                    .init("starting_after", .integer(0...68_719_476_719), "Only events behind this `sequence_number`."),
                ], answers: [.init(200, "The response, or its events.", response, events)], failure: failure)
        }
    }
}

private enum OpenAIResponsesDocument {
    static let body = JSONSchema.object(
        [
            "input": RequestSchemas.prompt, "model": RequestSchemas.word, "instructions": RequestSchemas.longText,
            "tools": .array(of: tool, 1...1), "tool_choice": JSONSchema.words(["auto", "required"]).orNull,
            "stream": RequestSchemas.flag, "background": RequestSchemas.flag, "user": RequestSchemas.text,
            "safety_identifier": RequestSchemas.word,
            "metadata": JSONSchema.map(of: .string(maximum: 512), atMost: 16).orNull,
        ], required: ["input", "tools"], others: .refused,
        "`input` may also be a list of items. Matters of billing and of conversing, such as `store`, are passed over.")

    private static let tool = JSONSchema.object(
        [
            "type": .words(["image_generation"]), "model": RequestSchemas.word, "quality": RequestSchemas.word,
            "size": RequestSchemas.pixels.orNull, "background": RequestSchemas.background,
            "output_format": JSONSchema.words(["png", "webp", "jpeg", "gif"]).orNull,
            "output_compression": RequestSchemas.compression, "partial_images": RequestSchemas.previews,
            "moderation": RequestSchemas.word, "input_fidelity": RequestSchemas.word,
        ], required: ["type"], others: .refused)

    static let response = JSONSchema.object(
        [
            "id": .string(), "object": .words(["response"]),
            "status": .words(["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]),
            "output": .array(of: .object(["type": .string()], required: ["type"])),
        ], required: ["id", "object", "status", "output"])
}
