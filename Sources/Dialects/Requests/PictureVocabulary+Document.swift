import ImageGeneration

extension PictureVocabulary {
    /// The words in snake case. Names that are not known are ignored, so they may stand beside.
    static let schema: [(name: String, schema: JSONSchema)] = [
        ("model", RequestSchemas.word(128)), ("n", RequestSchemas.count),
        ("size", RequestSchemas.sizeOrRatio.orNull), ("quality", RequestSchemas.word),
        ("style", RequestSchemas.word), ("background", RequestSchemas.word),
        ("negative_prompt", RequestSchemas.longText), ("seed", RequestSchemas.seed), ("user", RequestSchemas.text),
        ("output_format", RequestSchemas.formatOrJPG), ("output_compression", RequestSchemas.compression),
        ("partial_images", JSONSchema.integer(0...100).orNull), ("stream", RequestSchemas.flag),
    ]

    static func body(_ operation: ImageRequest.Operation) -> JSONSchema {
        let isEdit = operation == .edit
        let pictures: [(name: String, schema: JSONSchema)] = isEdit ? [("image", RequestSchemas.dataURL)] : []
        return .object(
            [("prompt", RequestSchemas.prompt)] + self.schema + pictures,
            required: ["prompt"] + (isEdit ? ["image"] : []), "Each name also in camel case.")
    }

    /// Of a call that makes a picture and streams, or answers once.
    /// - Parameters:
    ///   - noun: what is made, in words.
    ///   - answer: the events and what stands in their place.
    static func document(
        _ operation: ImageRequest.Operation, of noun: String, answer: String
    ) -> EndpointDocument {
        let isEdit = operation == .edit
        return EndpointDocument(
            "\(isEdit ? "Edits" : "Makes") \(noun)", description: "Streams unless `\"stream\": false`.",
            body: self.body(operation), form: isEdit ? self.form : nil,
            answers: [
                .init(
                    200, answer, .json(.object([:])),
                    .events("One JSON object for each `data:` line, told apart by `type`.")), .accepted,
            ], failure: self.failure)
    }

    static let form = RequestSchemas.form(others: .worded)

    /// The failure that frontends read: ``FrontendErrorBody``.
    static let failure = EndpointDocument.Content.json(
        .object(
            [
                "type": .words(["error"]), "message": .string(), "error": .string(), "code": .string(),
                "parameter": .string(),
            ], required: ["type", "message", "error", "code"]))
}

extension ConversationReader {
    /// `messages` as frontends write them. Roles and parts that are not known are left out.
    static let body: [(name: String, schema: JSONSchema)] = [
        ("messages", .array(of: .anyOf([fromUser, fromOthers]), 1...500, containing: fromUser))
    ]

    private static let fromUser = JSONSchema.object(
        [
            "role": JSONSchema.words(["user", "human"]).orNull,
            "content": .anyOf([
                RequestSchemas.prompt, .array(of: .anyOf([RequestSchemas.prompt, textPart]), 1...Int.max),
            ]),
        ], required: ["content"])

    private static let textPart = JSONSchema.object(
        ["type": .words(["text"]), "text": RequestSchemas.prompt], required: ["type", "text"],
        "Pictures are parts of the type `image_url` with a `data:` URL.")

    private static let fromOthers = JSONSchema.object(
        ["role": .words(["assistant", "system"])], required: ["role"], "With `content` as a user's.")
}
