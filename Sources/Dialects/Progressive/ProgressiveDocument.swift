package import ImageGeneration

extension ProgressiveDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        EndpointDocument(
            operation == .edit ? "Edits a picture that develops" : "Makes a picture that develops",
            description: "Streams unless `\"stream\": false`.", body: PictureVocabulary.body(operation),
            form: operation == .edit ? PictureVocabulary.form : nil,
            answers: [
                .init(
                    200, "`data:` events `partial_image`, `progress`, `completed`, `error`, or the last of them alone.",
                    .json(.object([:])), .events("One JSON object for each `data:` line, told apart by `type`.")),
                .accepted,
            ], failure: PictureVocabulary.failure)
    }
}
