package import ImageGeneration

extension ChatDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        EndpointDocument(
            "Answers a chat message, with a picture where one is wanted",
            description: "`message` may stand in place of `messages`. Streams unless `\"stream\": false`.",
            body: .object(
                ConversationReader.body + PictureVocabulary.schema + [("chatId", RequestSchemas.word(128))],
                required: ["messages"]),
            answers: [
                .init(
                    200, "Text, previews, the picture, `done`; or one document.", .json(.object([:])),
                    .events(
                        "One JSON object for each `data:` line: `content`, `image_partial`, `image_completed`, `done`.")
                ),
                .accepted,
            ], failure: PictureVocabulary.failure)
    }
}
