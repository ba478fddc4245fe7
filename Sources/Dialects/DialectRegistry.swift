/// The single list of client API families.
package enum DialectRegistry {
    package static let dialects: [any Dialect] = [
        UnifiedDialect(),
        NDJSONDialect(),
        OpenAIImagesDialect(),
        OpenAIResponsesDialect(),
        ProgressiveDialect(),
        ChatDialect(),
        GalleryDialect(),
        StagesDialect(),
        ReplicateDialect(),
        FalQueueDialect(),
        VercelUIDialect(),
    ]

    package static func dialect(named name: String) -> (any Dialect)? {
        self.dialects.first { $0.name == name }
    }
}
