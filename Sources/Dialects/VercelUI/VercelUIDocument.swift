package import ImageGeneration

extension VercelUIDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        EndpointDocument(
            "Answers a chat message in the AI SDK's UI message stream",
            description: "As `useChat` sends it. Streams unless `\"stream\": false`.",
            body: .object(ConversationReader.body + PictureVocabulary.schema, required: ["messages"]),
            answers: [
                .init(
                    200, "A UI message stream, or one UI message.", .json(.object([:])),
                    .events("UI message stream, version 1: `start`, `file`, `text-delta`, `finish`, `[DONE]`.")),
                .accepted,
            ], failure: .init("text/plain", .string("What went wrong, for the user.")))
    }
}
