import ImageGeneration

/// `messages` or `message`, `chatId?`, and the words of ``PictureVocabulary``. Names it does not know are ignored.
enum ChatRequest {
    /// Name of the extension that holds the client's own id of the chat.
    static let chatID = "chat_id"

    static func decode(
        _ request: DialectRequest, operation: ImageRequest.Operation
    ) throws(GatewayError) -> DecodedRequest {
        let parameters = try RequestParameters(request, formFiles: [])
        var image = try ConversationReader.read(parameters, operation: operation)
        try PictureVocabulary.read(parameters, into: &image)
        // Echoed in events that have to stay short.
        if let id = try parameters.first("chatId", "chat_id")?.word(maximumCount: 128) {
            image.extensions[self.chatID] = .text(id)
        }
        let mode = try PictureVocabulary.mode(parameters)
        if mode == .wait { image.partialImages = 0 }
        return DecodedRequest(image: image, mode: mode)
    }

    /// The client's id, else one that is this job's alone.
    static func chatID(_ context: EncoderContext) -> String {
        if case .text(let id) = context.request.extensions[self.chatID] { return id }
        return "chat_\(context.job.text.dropFirst(4))"
    }

    /// 422 for a conversation that the route can do nothing with: well-formed, but no picture is wanted.
    static func status(_ error: GatewayError) -> Int {
        error.code == .unsupportedParameter ? 422 : error.code.status
    }
}
