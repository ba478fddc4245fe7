import ImageGeneration

/// The create request of `progressive` and `gallery`: a prompt and the words of ``PictureVocabulary``, as a JSON object,
/// or for edits also as a form.
enum FrontendRequest {
    static func decode(
        _ request: DialectRequest, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        let parameters = try RequestParameters(
            request, formFiles: operation == .edit ? PictureVocabulary.files : [])
        var image = ImageRequest(operation: operation, prompt: try parameters.prompt())
        try PictureVocabulary.read(parameters, into: &image)
        try PictureVocabulary.readImages(parameters, into: &image)
        let mode = try PictureVocabulary.mode(parameters)
        // Without a stream nobody sees previews, and upstreams bill them.
        if mode == .wait { image.partialImages = 0 }
        return DecodedRequest(image: image, mode: mode)
    }
}
