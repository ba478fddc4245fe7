package import ImageGeneration

extension GalleryDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        EndpointDocument(
            operation == .edit ? "Edits a picture for a gallery" : "Makes a picture for a gallery",
            description: "Streams unless `\"stream\": false`.", body: PictureVocabulary.body(operation),
            form: operation == .edit ? PictureVocabulary.form : nil,
            answers: [
                .init(
                    200, "`data:` events `progress`, `partial_image`, `image`, `complete`, `error`, or one document.",
                    .json(.object([:])), .events("One JSON object for each `data:` line, told apart by `type`.")),
                .accepted,
            ], failure: PictureVocabulary.failure)
    }
}
