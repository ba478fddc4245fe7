package import ImageGeneration

extension NDJSONDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        UnifiedDocument.create(
            operation,
            stream: .init("application/x-ndjson", .string("The events of docs/events.md, one JSON object a line.")))
    }
}
