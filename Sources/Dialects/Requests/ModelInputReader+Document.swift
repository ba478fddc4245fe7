import ImageGeneration

extension ModelInputReader {
    /// What all models know. The names of a model of its own may stand beside, as long as their values are scalars.
    static let schema: [(name: String, schema: JSONSchema)] = [
        ("prompt", RequestSchemas.prompt), ("negative_prompt", RequestSchemas.longText),
        ("seed", RequestSchemas.seed), ("quality", RequestSchemas.word), ("background", RequestSchemas.word),
        ("style", RequestSchemas.word), ("output_format", RequestSchemas.formatOrJPG),
    ]

    static func body(_ own: [(name: String, schema: JSONSchema)]) -> JSONSchema {
        .object(self.schema + own, required: ["prompt"], others: .values(self.extra))
    }

    private static let extra = JSONSchema.anyOf([.string(maximum: 512), .boolean, .number, .null])
}
