import ImageGeneration
import StreamCodecs

/// Reads `POST …/responses`. Of the API's many tools there is one here, and what a picture does not depend on is passed over; what
/// would change the answer in a way that is not kept is refused.
enum OpenAIResponsesRequest {
    /// The extension that remembers `background`.
    static let background = "background_response"

    private static let known = [
        "input", "model", "instructions", "tools", "tool_choice", "stream", "background", "metadata", "user",
        "safety_identifier", "text",
    ]
    /// Matters of conversing and of billing, without a word in the unified request.
    private static let passedOver = [
        "store", "include", "parallel_tool_calls", "truncation", "stream_options", "service_tier", "prompt_cache_key",
        "prompt_cache_options", "prompt_cache_retention", "max_tool_calls", "max_output_tokens", "top_logprobs",
        "reasoning", "temperature", "top_p", "image",
    ]
    /// With the reason.
    private static let unsupported = [
        ("previous_response_id", "earlier responses are not kept as conversations; send the turns as input"),
        ("conversation", "conversations are not kept; send the turns as input"),
        ("prompt", "prompt templates are not kept here; send input"),
        ("context_management", "is not supported"), ("moderation", "is not supported"),
        ("access_programs", "is not supported"), ("background_options", "is not supported"),
    ]
    private static let toolNames = [
        "type", "action", "background", "complexity", "input_fidelity", "input_image_mask", "model", "moderation",
        "output_compression", "output_format", "partial_images", "quality", "size",
    ]
    private static let toolUnsupported = ["svg", "frame_count", "frame_duration_ms"]
    private static let toolExtras = ["moderation", "input_fidelity", "complexity"]

    static func decode(_ request: DialectRequest) throws(GatewayError) -> DecodedRequest {
        let parameters = try RequestParameters(request, formFiles: [])
        for (name, reason) in self.unsupported {
            if let parameter = parameters[name] { throw parameter.unsupported(reason) }
        }
        try parameters.refuseUnknown(known: self.known + self.passedOver)
        guard let input = parameters["input"] else {
            throw GatewayError(.invalidParameter, "input: is required.", parameter: "input")
        }
        var image = self.request(try OpenAIResponsesInput.read(input))
        let streams = try parameters.boolean("stream") ?? false
        let isBackground = try parameters.boolean("background") ?? false
        image.model = try parameters.word("model")
        image.instructions = try parameters.string("instructions", maximumCount: 32_000)
        image.user = try parameters.string("user")
        if let id = try parameters.word("safety_identifier") { image.extensions["safety_identifier"] = .text(id) }
        if isBackground { image.extensions[self.background] = .boolean(true) }
        image.metadata = try self.metadata(parameters)
        try self.checkText(parameters)
        try self.readTool(parameters, into: &image)
        image.picture = try self.choice(parameters)
        // Without a stream nobody sees previews, and upstreams bill them. A background response may be streamed later.
        if !streams, !isBackground { image.partialImages = nil }
        image.operation = image.images.isEmpty ? .generate : .edit
        if image.images.isEmpty, image.mask != nil {
            throw GatewayError(
                .invalidParameter, "input_image_mask: needs an input_image to edit.", parameter: "tools")
        }
        return DecodedRequest(image: image, mode: streams ? .stream : isBackground ? .queue : .wait)
    }

    private static func request(_ turns: [ImageRequest.Message]) -> ImageRequest {
        var turns = turns
        let last = turns.removeLast()
        var image = ImageRequest(operation: .generate, prompt: last.text)
        image.images = last.images
        if !turns.isEmpty { image.messages = turns + [ImageRequest.Message(role: .user, text: last.text)] }
        return image
    }

    // MARK: The tool

    private static func readTool(_ parameters: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        guard let tools = parameters["tools"] else {
            throw GatewayError(
                .unsupportedParameter,
                "tools: an image_generation tool is needed; other responses are not served here.",
                parameter: "tools")
        }
        guard case .json(let node) = tools.value, node.kind == .array else { throw tools.invalid("must be an array") }
        let elements = node.elements
        for (index, value) in elements.enumerated() {
            let tool = RequestParameter(name: "tools[\(index)]", value: .json(value))
            let members = try RequestParameters(members: tool)
            guard try members.word("type") == "image_generation" else {
                throw tool.unsupported("only the image_generation tool is supported")
            }
            guard index == 0 else { throw tool.invalid("the image_generation tool is given more than once") }
            try self.read(members, into: &image)
        }
        if elements.isEmpty { throw tools.unsupported("an image_generation tool is needed") }
    }

    private static func read(_ tool: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        for name in self.toolUnsupported {
            if let parameter = tool[name] { throw parameter.unsupported("is not supported") }
        }
        try tool.refuseUnknown(known: self.toolNames)
        image.imageModel = try tool.word("model")
        if let size = tool["size"] { image.size = try SizeReader.pixels(size) }
        image.quality = try tool.word("quality")
        image.background = try tool.choice("background", ["transparent", "opaque", "auto"])
        image.outputCompression = try tool.integer("output_compression", 0...100).map(Int.init)
        image.outputFormat = try self.outputFormat(tool)
        image.partialImages = try tool.integer("partial_images", 0...3).map(Int.init)
        for name in self.toolExtras {
            if let text = try tool.word(name) { image.extensions[name] = .text(text) }
        }
        if let mask = tool["input_image_mask"] {
            image.mask = try OpenAIResponsesInput.picture(try RequestParameters(members: mask), mask)
        }
        guard try tool.choice("action", ["generate", "edit", "auto"]) == "edit", image.images.isEmpty else { return }
        guard let newest = image.messages.last(where: { !$0.images.isEmpty })?.images.last else {
            throw GatewayError(.invalidParameter, "input: an edit needs a picture.", parameter: "input")
        }
        image.images = [newest]
    }

    private static func outputFormat(_ tool: RequestParameters) throws(GatewayError) -> ImageFormat? {
        guard let parameter = tool["output_format"] else { return nil }
        let word = try parameter.choice(["png", "webp", "jpeg", "gif", "svg"])
        guard word != "svg" else { throw parameter.unsupported("svg is not supported") }
        return ImageFormat(rawValue: word)
    }

    /// Whether a picture is wanted: by `tool_choice`; left to the model unless it says.
    private static func choice(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest.PictureWish {
        guard let parameter = parameters["tool_choice"] else { return .model }
        guard case .json(let node) = parameter.value, node.kind == .object else {
            switch try parameter.choice(["auto", "required", "none"]) {
            case "required": return .always
            case "none": return .never
            default: return .model
            }
        }
        let members = try RequestParameters(members: parameter)
        switch try members.word("type") {
        case "image_generation": return .always
        case "allowed_tools": return try members.choice("mode", ["auto", "required"]) == "required" ? .always : .model
        default: throw parameter.unsupported("only the image_generation tool is supported")
        }
    }

    // MARK: The rest

    private static func metadata(_ parameters: RequestParameters) throws(GatewayError) -> [String: String] {
        guard let parameter = parameters["metadata"] else { return [:] }
        let members = try RequestParameters(members: parameter).others(than: [])
        guard members.count <= 16 else { throw parameter.invalid("must have at most 16 members") }
        var metadata: [String: String] = [:]
        for (name, value) in members {
            guard (1...64).contains(name.unicodeScalars.count) else {
                throw parameter.invalid("must have names of 1 to 64 characters")
            }
            metadata[name] = try value.string(maximumCount: 512)
        }
        return metadata
    }

    /// Plain text is the only form of what is said beside pictures.
    private static func checkText(_ parameters: RequestParameters) throws(GatewayError) {
        guard let text = parameters["text"], let format = try RequestParameters(members: text)["format"] else { return }
        guard try RequestParameters(members: format).word("type") == "text" else {
            throw format.unsupported("only plain text is supported")
        }
    }
}
