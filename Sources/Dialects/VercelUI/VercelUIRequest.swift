import ImageGeneration

/// `{id, messages: UIMessage[], trigger, messageId, …}`; what an application adds to the body may be words of
/// ``PictureVocabulary``. Names it does not know are ignored, as the SDK adds its own.
enum VercelUIRequest {
    static func decode(
        _ request: DialectRequest, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        let parameters = try RequestParameters(request, formFiles: [])
        var image = try ConversationReader.read(parameters, operation: operation)
        try PictureVocabulary.read(parameters, into: &image)
        // Of the SDK's own making, so never refused.
        if let id = try? parameters.first("id")?.word(maximumCount: 128) {
            image.extensions[ChatRequest.chatID] = .text(id)
        }
        let mode = try PictureVocabulary.mode(parameters)
        if mode == .wait { image.partialImages = 0 }
        return DecodedRequest(image: image, mode: mode)
    }
}
