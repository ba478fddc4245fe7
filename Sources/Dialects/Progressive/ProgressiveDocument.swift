package import ImageGeneration

extension ProgressiveDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        PictureVocabulary.document(
            operation, of: "a picture that develops",
            answer: "`data:` events `partial_image`, `progress`, `completed`, `error`, or the last of them alone.")
    }
}
