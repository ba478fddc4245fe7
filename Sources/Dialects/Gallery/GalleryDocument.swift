package import ImageGeneration

extension GalleryDialect {
    package func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument {
        PictureVocabulary.document(
            operation, of: "a picture for a gallery",
            answer: "`data:` events `progress`, `partial_image`, `image`, `complete`, `error`, or one document.")
    }
}
