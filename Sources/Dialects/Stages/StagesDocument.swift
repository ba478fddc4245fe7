package import ImageGeneration

extension StagesDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        let failure = EndpointDocument.Content.json(.object(["detail": .string()], required: ["detail"]))
        let job = EndpointDocument.Content.json(StagesDocument.job)
        let stream = EndpointDocument.Answer(
            200, "The job's stages.", .events("One JSON object for each `data:` line, with `stage` and `progress`."))
        switch endpoint.action {
        case .create, .submit:
            return EndpointDocument(
                "Queues a picture", body: StagesDocument.body,
                answers: [.init(200, "Queued.", .json(StagesDocument.submission))], failure: failure)
        case .createStreaming:
            return EndpointDocument(
                "Makes a picture and streams its stages", body: StagesDocument.body, answers: [stream],
                failure: failure)
        case .stream:
            return EndpointDocument("Streams a job's stages", answers: [stream], failure: failure)
        case .list:
            return ListDocument.document(of: StagesDocument.job, failure: failure)
        case .cancel:
            return EndpointDocument("Cancels a job", answers: [.init(200, "Where it stands.", job)], failure: failure)
        case .snapshot, .answer, .describe:
            return EndpointDocument(
                "Tells where a job stands", answers: [.init(200, "Where it stands.", job)], failure: failure)
        }
    }
}

private enum StagesDocument {
    static let body = JSONSchema.object(
        [
            "prompt": RequestSchemas.prompt, "negative_prompt": RequestSchemas.longText,
            "style": JSONSchema.words(StagesRequest.styles).orNull,
            "aspect_ratio": JSONSchema.words(StagesRequest.aspectRatios + ["landscape", "portrait", "square"]).orNull,
            "quality": JSONSchema.words(["draft", "standard", "high", "ultra"]).orNull, "seed": RequestSchemas.seed,
            "provider": RequestSchemas.word, "is_draft": RequestSchemas.flag, "blog_id": identifier,
            "blog_job_id": identifier,
        ], required: ["prompt"])

    private static let states = ["pending", "queued", "processing", "completed", "failed", "cancelled"]

    private static let identifier = JSONSchema.anyOf([
        .string(pattern: "^[ -~]{1,64}$"), .integer(Int64.min...Int64.max), .null,
    ])

    static let submission = JSONSchema.object(
        ["job_id": .string(), "status": .words(states), "message": .string(), "is_draft": .boolean],
        required: ["job_id", "status"])

    static let job = JSONSchema.object(
        [
            "job_id": .string(),
            "status": .words(states),
            "progress_percentage": .integer(0...100), "current_stage": .string(),
        ], required: ["job_id", "status", "progress_percentage"])
}
