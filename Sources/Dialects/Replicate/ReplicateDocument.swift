package import ImageGeneration

extension ReplicateDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        let failure = EndpointDocument.Content(
            "application/problem+json",
            .object(["title": .string(), "detail": .string(), "status": .integer], required: ["detail"]))
        let prediction = EndpointDocument.Content.json(ReplicateDocument.prediction)
        switch endpoint.action {
        case .create, .createStreaming, .submit:
            return EndpointDocument(
                "Makes a prediction, as Replicate's API",
                description: "`Prefer: wait` or `wait=n` waits up to 60 seconds for its end.",
                body: ReplicateDocument.body, answers: [.init(201, "Where the prediction stands.", prediction)],
                failure: failure)
        case .list:
            return EndpointDocument(
                "Lists the caller's predictions", query: ListDocument.query,
                answers: [
                    .init(
                        200, "Newest first.",
                        .json(.object(["results": .array(of: ReplicateDocument.prediction)], required: ["results"])))
                ], failure: failure)
        case .stream:
            return EndpointDocument(
                "Streams a prediction",
                answers: [.init(200, "Its events.", .events("Events `output`, `logs`, `error`, `done`."))],
                failure: failure)
        case .cancel:
            return EndpointDocument(
                "Cancels a prediction", answers: [.init(200, "Where it stands.", prediction)], failure: failure)
        case .snapshot, .answer:
            return EndpointDocument(
                "Tells where a prediction stands", answers: [.init(200, "Where it stands.", prediction)],
                failure: failure)
        case .describe:
            return EndpointDocument(
                "Describes a model by its name", answers: [.init(200, "The model.", .json(.object([:])))],
                failure: failure)
        }
    }
}

private enum ReplicateDocument {
    static let body = JSONSchema.object(
        [
            "input": ModelInputReader.body([
                ("num_outputs", RequestSchemas.count), ("output_quality", RequestSchemas.compression),
            ]),
            "version": RequestSchemas.word(256), "model": RequestSchemas.word(256), "stream": RequestSchemas.flag,
        ], required: ["input"], others: .refused)

    static let prediction = JSONSchema.object(
        [
            "id": .string(), "status": .words(["starting", "processing", "succeeded", "failed", "canceled"]),
            "urls": .object([:]), "created_at": .string(format: "date-time"),
        ], required: ["id", "status", "urls"])
}
