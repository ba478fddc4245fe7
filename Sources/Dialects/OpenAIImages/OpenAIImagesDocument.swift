package import ImageGeneration

extension OpenAIImagesDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        let isEdit = operation == .edit
        return EndpointDocument(
            isEdit ? "Edits pictures, as OpenAI's Images API" : "Makes pictures, as OpenAI's Images API",
            description: "Streams with `\"stream\": true`; else one JSON document.",
            body: OpenAIImagesDocument.body(isEdit: isEdit), form: isEdit ? OpenAIImagesDocument.form : nil,
            answers: [
                .init(
                    200, "The finished pictures, or a stream of them.", .json(OpenAIImagesDocument.answer),
                    .events("`image_generation.*` or `image_edit.*` events: partial_image, completed; `error`.")),
                .accepted,
            ], failure: .json(OpenAIErrorDocument.schema))
    }
}

enum OpenAIImagesDocument {
    private static let common: [(name: String, schema: JSONSchema)] = [
        ("prompt", RequestSchemas.prompt), ("model", RequestSchemas.word), ("n", RequestSchemas.count),
        ("size", RequestSchemas.pixels.orNull), ("quality", RequestSchemas.word),
        ("background", RequestSchemas.background),
        ("output_format", JSONSchema.words(["png", "webp", "jpeg", "gif"]).orNull),
        ("output_compression", RequestSchemas.compression), ("moderation", RequestSchemas.word),
        ("partial_images", RequestSchemas.previews), ("stream", RequestSchemas.flag), ("user", RequestSchemas.text),
        ("safety_identifier", RequestSchemas.word), ("response_format", JSONSchema.words(["b64_json"]).orNull),
        ("style", RequestSchemas.word), ("input_fidelity", RequestSchemas.word), ("complexity", RequestSchemas.word),
    ]

    static func body(isEdit: Bool) -> JSONSchema {
        let reference = JSONSchema.object(
            ["image_url": RequestSchemas.dataURL], required: ["image_url"], others: .refused)
        let pictures: [(name: String, schema: JSONSchema)] =
            isEdit ? [("images", .array(of: reference, 1...16)), ("mask", reference.orNull)] : []
        return .object(
            self.common + pictures, required: ["prompt"] + (isEdit ? ["images"] : []), others: .refused)
    }

    static let form = RequestSchemas.form(others: .refused)

    static let answer = JSONSchema.object(
        [
            "created": .integer, "usage": .shared(.usage),
            "data": .array(of: .object(["b64_json": .string(), "revised_prompt": .string()])),
        ], required: ["created", "data"])
}

/// The failure that both of OpenAI's dialects tell.
enum OpenAIErrorDocument {
    static let schema = JSONSchema.object(
        [
            "error": .object(
                [
                    "message": .string(), "type": .string(), "param": JSONSchema.string().orNull,
                    "code": JSONSchema.string().orNull,
                ], required: ["message", "type", "param", "code"])
        ], required: ["error"])
}
