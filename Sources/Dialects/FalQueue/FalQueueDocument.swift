package import ImageGeneration

extension FalQueueDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        let failure = EndpointDocument.Content.json(
            .object(["detail": .anyOf([.string(), .array(of: .object([:]))])], required: ["detail"]))
        let status = JSONSchema.object(["status": .string()], required: ["status"])
        switch endpoint.action {
        case .create, .createStreaming, .submit:
            return EndpointDocument(
                "Queues a picture, as fal's queue", body: FalQueueDocument.body,
                answers: [
                    .init(
                        200, "Queued.",
                        .json(.object(["request_id": .string(), "status": .string()], required: ["request_id"])))
                ], failure: failure)
        case .stream:
            return EndpointDocument(
                "Streams where a request stands",
                answers: [.init(200, "Its states.", .events("One status for each `data:` line."))], failure: failure)
        case .cancel:
            return EndpointDocument(
                "Cancels a request",
                answers: [.init(202, "To be cancelled.", .json(status)), .init(400, "Over already.", .json(status))],
                failure: failure)
        case .answer where endpoint.subpath == Self.status.subpath:
            return EndpointDocument(
                "Tells where a request stands",
                answers: [.init(200, "Over.", .json(status)), .init(202, "Not over.", .json(status))],
                failure: failure)
        case .answer, .snapshot, .list, .describe:
            return EndpointDocument(
                "Gives a request's result", answers: [.init(200, "The pictures.", .json(.object([:])))],
                failure: failure)
        }
    }
}

private enum FalQueueDocument {
    static let body = ModelInputReader.body([
        ("num_images", RequestSchemas.count), ("sync_mode", RequestSchemas.flag),
        (
            "image_size",
            .anyOf([
                .words(["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]),
                RequestSchemas.pixels, .null,
                .object(
                    ["width": RequestSchemas.side, "height": RequestSchemas.side], required: ["width", "height"]),
            ])
        ),
    ])
}
