import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads `input`: a text, or the turns of a conversation, which ends with the user's.
enum OpenAIResponsesInput {
    private static let maximumItems = 256
    private static let maximumCharacters = 32_000

    /// - Returns: the turns, oldest first; the last one is the user's and has text.
    static func read(_ parameter: RequestParameter) throws(GatewayError) -> [ImageRequest.Message] {
        let messages = try self.messages(parameter)
        guard let last = messages.last, last.role == .user else {
            throw parameter.invalid("must end with a message by the user")
        }
        guard last.text.unicodeScalars.contains(where: { !$0.properties.isWhitespace }) else {
            throw parameter.invalid("must not be empty")
        }
        guard last.text.unicodeScalars.count <= self.maximumCharacters else {
            throw parameter.invalid("must be at most \(self.maximumCharacters) characters")
        }
        guard messages.reduce(0, { $0 + $1.images.count }) <= InputImageReader.maximumCount else {
            throw parameter.invalid("must have at most \(InputImageReader.maximumCount) pictures")
        }
        return messages
    }

    private static func messages(_ parameter: RequestParameter) throws(GatewayError) -> [ImageRequest.Message] {
        guard case .json(let node) = parameter.value, node.kind == .string || node.kind == .array else {
            throw parameter.invalid("must be a string or an array of items")
        }
        guard node.kind == .array else {
            let text = try parameter.string(maximumCount: self.maximumCharacters)
            return [ImageRequest.Message(role: .user, text: text)]
        }
        let elements = node.elements
        guard elements.count <= self.maximumItems else {
            throw parameter.invalid("must be at most \(self.maximumItems) items")
        }
        var messages: [ImageRequest.Message] = []
        for (index, value) in elements.enumerated() {
            let item = RequestParameter(name: "\(parameter.name)[\(index)]", value: .json(value))
            if let message = try self.message(item) { messages.append(message) }
        }
        return messages
    }

    /// - Returns: nil for an item that is no turn.
    private static func message(_ item: RequestParameter) throws(GatewayError) -> ImageRequest.Message? {
        let members = try RequestParameters(members: item)
        switch try members.word("type") ?? "message" {
        case "message": return try self.turn(members, item)
        case "image_generation_call": return try self.earlierPicture(members, item)
        case "reasoning": return nil
        case let type:
            throw item.unsupported("items of type \(type) are not supported; send what they stand for")
        }
    }

    private static func turn(_ members: RequestParameters, _ item: RequestParameter) throws(GatewayError)
        -> ImageRequest.Message
    {
        guard let role = members["role"] else { throw item.invalid("must have a role") }
        let word = try role.choice(["user", "assistant", "system", "developer"])
        guard let content = members["content"] else { throw item.invalid("must have content") }
        var message = ImageRequest.Message(role: ImageRequest.Message.Role(rawValue: word) ?? .system, text: "")
        guard case .json(let node) = content.value, node.kind == .array else {
            message.text = try content.string(maximumCount: self.maximumCharacters)
            return message
        }
        var texts: [String] = []
        for (index, value) in node.elements.enumerated() {
            let part = RequestParameter(name: "\(content.name)[\(index)]", value: .json(value))
            try self.read(part, texts: &texts, images: &message.images)
        }
        message.text = texts.joined(separator: "\n")
        return message
    }

    private static func read(
        _ part: RequestParameter, texts: inout [String], images: inout [InputImage]
    ) throws(GatewayError) {
        let members = try RequestParameters(members: part)
        switch try members.word("type") {
        case "input_text", "output_text", "text":
            guard let text = members["text"] else { throw part.invalid("must have text") }
            texts.append(try text.string(maximumCount: self.maximumCharacters))
        case "refusal":
            if let text = try members.string("refusal", maximumCount: self.maximumCharacters) { texts.append(text) }
        case "input_image": images.append(try self.picture(members, part))
        case let type:
            throw part.unsupported("parts of type \(type ?? "null") are not supported; send input_text or input_image")
        }
    }

    /// `image_url` with a `data:` URL, or `file_id`.
    static func picture(_ members: RequestParameters, _ parameter: RequestParameter) throws(GatewayError) -> InputImage
    {
        switch (members["image_url"], members["file_id"]) {
        case (let url?, nil): return try InputImageReader.dataURL(url)
        case (nil, let id?): return InputImage(content: .fileID(try id.word(maximumCount: 128)))
        case (nil, nil), (_?, _?): throw parameter.invalid("must have image_url or file_id, one of them")
        }
    }

    /// A picture the assistant drew in an earlier turn. Nothing is kept here by its id, so it has to come along.
    private static func earlierPicture(
        _ members: RequestParameters, _ item: RequestParameter
    ) throws(GatewayError) -> ImageRequest.Message {
        guard let result = members["result"], case .json(let node) = result.value, let text = node.stringSlice else {
            throw item.unsupported("an earlier picture is not found by its id; send it along as result")
        }
        let image =
            if text.readableBytesView.starts(with: Array("data:".utf8)) {
                try InputImageReader.dataURL(text, result)
            } else {
                try InputImageReader.base64(text, mediaType: nil, result)
            }
        return ImageRequest.Message(role: .assistant, text: "", images: [image])
    }
}
