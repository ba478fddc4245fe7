import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads conversations as chat frontends send them: `messages` with `content` (text, or parts as OpenAI's SDKs write them)
/// or with `parts` (as the AI SDK writes them), else one `message` or `prompt`.
///
/// Parts that are neither text nor pictures, and roles that neither ask nor answer, are left out: frontends send back all
/// that they were shown.
enum ConversationReader {
    private static let maximumMessages = 500
    private static let maximumText = 32_000

    /// Fills in `prompt`, `messages` and `images`. Pictures in the last message of the user make the request an edit.
    static func read(
        _ parameters: RequestParameters, operation: ImageRequest.Operation
    ) throws(GatewayError) -> ImageRequest {
        let (prompt, messages) = try self.conversation(parameters)
        var image = ImageRequest(
            operation: prompt.images.isEmpty ? operation : .edit, prompt: prompt.text)
        image.messages = messages
        image.images = prompt.images
        guard image.prompt.unicodeScalars.contains(where: { !$0.properties.isWhitespace }) else {
            throw GatewayError(.invalidParameter, "messages: the last one must have a text.", parameter: "messages")
        }
        try InputImageReader.checkOperation(image, imagesName: "messages")
        return image
    }

    private typealias Message = ImageRequest.Message

    private static func conversation(
        _ parameters: RequestParameters
    ) throws(GatewayError) -> (prompt: Message, messages: [Message]) {
        if let parameter = parameters["messages"] { return try self.conversation(parameter) }
        guard let parameter = parameters.first("message", "prompt") else {
            throw GatewayError(.invalidParameter, "messages: is required, or message.", parameter: "messages")
        }
        if case .json(let node) = parameter.value, node.kind == .object {
            guard let message = try self.message(parameter, node) else {
                throw parameter.invalid("must be by the user")
            }
            return (message, [])
        }
        return (Message(role: .user, text: try parameter.string(maximumCount: self.maximumText)), [])
    }

    private static func conversation(
        _ parameter: RequestParameter
    ) throws(GatewayError) -> (prompt: Message, messages: [Message]) {
        guard case .json(let node) = parameter.value, node.kind == .array else {
            throw parameter.invalid("must be an array")
        }
        let elements = node.elements
        guard elements.count <= self.maximumMessages else {
            throw parameter.invalid("must be at most \(self.maximumMessages) messages")
        }
        var messages: [Message] = []
        for (index, element) in elements.enumerated() {
            let each = RequestParameter(name: "\(parameter.name)[\(index)]", value: .json(element))
            if let message = try self.message(each, element) { messages.append(message) }
        }
        guard let last = messages.lastIndex(where: { $0.role == .user }) else {
            throw parameter.invalid("must have a message by the user")
        }
        messages.removeSubrange((last + 1)...)
        let prompt = messages[last]
        messages[last].images = []
        self.keepNewestPictures(&messages, room: InputImageReader.maximumCount - prompt.images.count)
        return (prompt, messages)
    }

    /// A long conversation may hold more pictures than a request may carry.
    private static func keepNewestPictures(_ messages: inout [Message], room: Int) {
        var room = room
        for index in messages.indices.reversed() {
            messages[index].images = Array(messages[index].images.suffix(max(0, room)))
            room -= messages[index].images.count
        }
    }

    // MARK: Messages

    private static func message(_ parameter: RequestParameter, _ node: JSONNode) throws(GatewayError) -> Message? {
        guard node.kind == .object else { throw parameter.invalid("must be an object") }
        if let role = node["role"], role.kind != .string, !role.isNull {
            throw parameter.invalid("must have a role that is a string")
        }
        guard let role = self.role(node["role"]?.string) else { return nil }
        var message = Message(role: role, text: "")
        let content = [node["parts"], node["content"]].compactMap(\.self).first { !$0.isNull && !$0.elements.isEmpty }
        if let content {
            try self.read(content, parameter, into: &message)
        } else if let text = node["content"] ?? node["text"], !text.isNull {
            let value = RequestParameter(name: "\(parameter.name).content", value: .json(text))
            if text.kind != .array { message.text = try value.string(maximumCount: self.maximumText) }
        }
        guard message.images.count <= InputImageReader.maximumCount else {
            throw parameter.invalid("must have at most \(InputImageReader.maximumCount) pictures")
        }
        return message
    }

    private static func role(_ name: String?) -> Message.Role? {
        switch name {
        case "user", "human", nil: .user
        case "assistant", "model", "ai": .assistant
        case "system", "developer": .system
        default: nil
        }
    }

    private static func read(
        _ parts: JSONNode, _ parameter: RequestParameter, into message: inout Message
    ) throws(GatewayError) {
        var texts: [String] = []
        for (index, part) in parts.elements.enumerated() {
            let name = "\(parameter.name)[\(index)]"
            if part.kind == .string {
                texts.append(try self.text(part, name))
                continue
            }
            guard part.kind == .object else {
                throw parameter.invalid("must have parts that are strings or objects")
            }
            switch part["type"]?.string {
            case "text", "input_text", "output_text":
                if let text = part["text"] { texts.append(try self.text(text, name)) }
            case "image_url", "input_image", "image", "file":
                if let picture = try self.picture(part, name, role: message.role) { message.images.append(picture) }
            default: break
            }
        }
        message.text = texts.joined(separator: "\n")
        guard message.text.unicodeScalars.count <= self.maximumText else {
            throw parameter.invalid("must be at most \(self.maximumText) characters")
        }
    }

    private static func text(_ node: JSONNode, _ name: String) throws(GatewayError) -> String {
        try RequestParameter(name: name, value: .json(node)).string(maximumCount: self.maximumText)
    }

    /// - Returns: nil for what is no picture, and for what an answer of ours names by URL: nothing is fetched here.
    private static func picture(
        _ part: JSONNode, _ name: String, role: Message.Role
    ) throws(GatewayError) -> InputImage? {
        if let type = part["mediaType"]?.string ?? part["mimeType"]?.string, !type.hasPrefix("image/") { return nil }
        var value = part["image_url"] ?? part["url"] ?? part["image"] ?? part["data"]
        if let inner = value?["url"] { value = inner }
        guard let value, !value.isNull else { return nil }
        let parameter = RequestParameter(name: name, value: .json(value))
        let isDataURL = value.stringSlice?.readableBytesView.starts(with: "data:".utf8) ?? false
        if role != .user, !isDataURL { return nil }
        return try InputImageReader.dataURL(parameter)
    }
}
