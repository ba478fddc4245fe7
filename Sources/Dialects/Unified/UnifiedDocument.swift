package import ImageGeneration

extension UnifiedDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        UnifiedDocument.create(
            operation,
            stream: .events("Server-sent events of docs/events.md: `event:`, `id:`, `data:` with one line of JSON."))
    }
}

/// The create call of the dialects that speak our own schema.
enum UnifiedDocument {
    static func create(_ operation: ImageRequest.Operation, stream: EndpointDocument.Content) -> EndpointDocument {
        EndpointDocument(
            operation == .edit ? "Edits pictures" : "Makes pictures",
            description: """
                Streams with `"stream": true` or `Accept: \(stream.mediaType)`, is queued with `Prefer: respond-async`, else waits. \
                `Idempotency-Key` makes repeats one job; a `Last-Event-ID` of ours goes on with a stream.
                """,
            body: self.body(operation), form: operation == .edit ? self.form : nil,
            answers: [
                .init(200, "The job's end as one document, or its events.", .json(self.answer), stream),
                .accepted,
            ], failure: .problem)
    }

    private static let common: [(name: String, schema: JSONSchema)] = [
        ("prompt", RequestSchemas.prompt), ("negative_prompt", RequestSchemas.longText),
        ("model", RequestSchemas.word), ("n", RequestSchemas.count), ("quality", RequestSchemas.word),
        ("output_format", RequestSchemas.format), ("output_compression", RequestSchemas.compression),
        ("background", RequestSchemas.word), ("style", RequestSchemas.word), ("seed", RequestSchemas.seed),
        ("partial_images", RequestSchemas.previews), ("user", RequestSchemas.text), ("stream", RequestSchemas.flag),
        ("metadata", JSONSchema.map(of: metadataValue, atMost: 16).orNull),
    ]

    private static let metadataValue = JSONSchema.anyOf([
        .string(maximum: 512), .boolean, .integer(Int64.min...Int64.max),
    ])

    /// The ways to ask for a size exclude each other.
    private static let sizes: [[(name: String, schema: JSONSchema)]] = [
        [("size", RequestSchemas.size.orNull), ("aspect_ratio", .null), ("width", .null), ("height", .null)],
        [("size", .null), ("aspect_ratio", RequestSchemas.aspectRatio), ("width", .null), ("height", .null)],
        [("size", .null), ("aspect_ratio", .null), ("width", RequestSchemas.side), ("height", RequestSchemas.side)],
    ]

    private static func body(_ operation: ImageRequest.Operation) -> JSONSchema {
        let pictures: [(name: String, schema: JSONSchema)] =
            operation == .edit
            ? [("images", .array(of: self.picture, 1...16)), ("mask", self.picture.orNull)]
            : []
        return .anyOf(
            self.sizes.enumerated().map { index, size in
                .object(
                    self.common + size + pictures,
                    required: ["prompt"] + (operation == .edit ? ["images"] : [])
                        + (index == 1 ? ["aspect_ratio"] : index == 2 ? ["width", "height"] : []),
                    others: .refused)
            })
    }

    private static let picture = JSONSchema.anyOf([
        RequestSchemas.dataURL,
        .object(
            ["b64_json": .string(pattern: "^([A-Za-z0-9+/]{4})+$"), "media_type": .words(["image/png"]).orNull],
            required: ["b64_json"], others: .refused),
    ])

    private static let form = RequestSchemas.form(others: .refused)

    /// Without the pictures' bytes, whose member `b64_json` is a plain string.
    static let answer = JSONSchema.object(
        [
            "type": .words(["completed", "error", "cancelled"]), "job_id": .string(pattern: RequestSchemas.jobID),
            "images": .array(of: .object(["image_id": .string(), "b64_json": .string(), "url": .string()])),
            "usage": .shared(.usage), "upstream": .string(), "model": .string(),
        ], required: ["job_id"])
}
