import NIOCore
import StreamCodecs

/// A checked request to the Responses API, as far as it draws.
struct ResponsesRequest: Sendable {
    var model = ""
    var prompt = ""
    var stream = false
    var background = false
    /// Whether the tool is there at all, and must be used.
    var hasTool = false
    var mustDraw = false
    var width = 1024
    var height = 1024
    var quality = "medium"
    var isTransparent = false
    var partialImages = 0
    /// Pictures sent along, and a hash of all of them.
    var inputImages = 0
    var inputHash = FNV1a()

    private static let known: Set<String> = [
        "model", "input", "stream", "background", "store", "tools", "tool_choice", "instructions", "metadata", "user",
        "max_output_tokens", "parallel_tool_calls", "previous_response_id", "reasoning", "safety_identifier",
        "stream_options", "temperature", "text", "top_p", "truncation", "include", "prompt_cache_key", "service_tier",
    ]

    init(_ body: ByteBuffer) throws(SimulatorError) {
        let root: JSONNode
        do { root = try JSONDocument(body, duplicateKeys: .last).root } catch {
            throw SimulatorError(400, "We could not parse the JSON body of your request.")
        }
        guard root.kind == .object else { throw SimulatorError(400, "The request body must be a JSON object.") }
        for member in root.members where !Self.known.contains(member.key) {
            throw Self.unknown(member.key)
        }
        guard let model = root["model"]?.string, !model.isEmpty else {
            throw SimulatorError(
                400, "Missing required parameter: 'model'.", code: "missing_required_parameter", parameter: "model")
        }
        self.model = model
        self.stream = root["stream"]?.boolean ?? false
        self.background = root["background"]?.boolean ?? false
        if let instructions = root["instructions"]?.string { self.inputHash.combine(instructions.utf8) }
        try self.readInput(root["input"])
        try self.readTools(root["tools"])
        try self.readChoice(root["tool_choice"])
    }

    private static func unknown(_ name: String) -> SimulatorError {
        SimulatorError(
            400, "Unknown parameter: '\(name.prefix(60))'.", code: "unknown_parameter",
            parameter: String(name.prefix(60)))
    }

    // MARK: The conversation

    private mutating func readInput(_ input: JSONNode?) throws(SimulatorError) {
        if let text = input?.string {
            self.prompt = text
        } else if let input, input.kind == .array {
            for item in input.elements { try self.readItem(item) }
        }
        guard !self.prompt.isEmpty else {
            throw SimulatorError(
                400, "Missing required parameter: 'input'.", code: "missing_required_parameter", parameter: "input")
        }
    }

    /// The user's last text is what is drawn; all that went before shapes the picture.
    private mutating func readItem(_ item: JSONNode) throws(SimulatorError) {
        let role = item["role"]?.string ?? "user"
        guard ["user", "assistant", "system", "developer"].contains(role) else {
            throw SimulatorError(400, "Invalid role in 'input'.", code: "invalid_value", parameter: "input")
        }
        if let text = item["content"]?.string { return self.take(text, role: role) }
        for part in item["content"]?.elements ?? [] {
            switch part["type"]?.string {
            case "input_text", "output_text": self.take(part["text"]?.string ?? "", role: role)
            case "input_image":
                guard role != "assistant", let reference = (part["image_url"] ?? part["file_id"])?.stringSlice else {
                    throw SimulatorError(
                        400, "Invalid 'input_image': it needs 'image_url' or 'file_id'.", code: "invalid_value",
                        parameter: "input")
                }
                self.inputImages += 1
                self.inputHash.combine(reference.readableBytesView)
            default:
                throw SimulatorError(
                    400, "Invalid content part in 'input'.", code: "invalid_value", parameter: "input")
            }
        }
    }

    private mutating func take(_ text: String, role: String) {
        if role == "user", !text.isEmpty {
            if !self.prompt.isEmpty { self.inputHash.combine(self.prompt.utf8) }
            self.prompt = text
        } else {
            self.inputHash.combine(text.utf8)
        }
    }

    // MARK: The tool

    private mutating func readTools(_ tools: JSONNode?) throws(SimulatorError) {
        for (index, tool) in (tools?.elements ?? []).enumerated() where tool["type"]?.string == "image_generation" {
            self.hasTool = true
            for member in tool.members where !member.value.isNull {
                try self.take(member.key, .json(member.value), at: "tools[\(index)].\(member.key)")
            }
        }
    }

    private mutating func take(
        _ name: String, _ value: OpenAIParameter, at parameter: String
    ) throws(SimulatorError) {
        switch name {
        case "type", "action", "model", "moderation", "input_fidelity", "complexity": _ = try value.string(parameter)
        case "size":
            do { (self.width, self.height) = try OpenAIImagesRequest.size(value.string(parameter)) } catch {
                throw SimulatorError(400, error.message, code: "invalid_value", parameter: parameter)
            }
        case "quality":
            let word = try value.word(parameter, ["auto", "low", "medium", "high", "xhigh", "max"])
            self.quality = word == "auto" ? "medium" : word
        case "background":
            self.isTransparent = try value.word(parameter, ["transparent", "opaque", "auto"]) == "transparent"
        case "output_format": _ = try value.word(parameter, ["png", "jpeg", "webp", "gif", "svg"])
        case "output_compression": _ = try value.integer(parameter, 0...100)
        case "partial_images": self.partialImages = try value.integer(parameter, 0...3)
        case "input_image_mask", "svg", "frame_count", "frame_duration_ms": break
        default: throw Self.unknown(parameter)
        }
    }

    private mutating func readChoice(_ choice: JSONNode?) throws(SimulatorError) {
        switch choice?.string {
        case "none": self.hasTool = false
        case "required": self.mustDraw = self.hasTool
        case "auto": break
        case nil:
            guard let choice, !choice.isNull else { return }
            guard choice["type"]?.string == "image_generation", self.hasTool else {
                throw SimulatorError(
                    400, "Tool choice 'image_generation' not found in 'tools' parameter.", code: "invalid_value",
                    parameter: "tool_choice")
            }
            self.mustDraw = true
        default:
            throw SimulatorError(400, "Invalid 'tool_choice'.", code: "invalid_value", parameter: "tool_choice")
        }
    }

    private static let drawingWords = [
        "draw", "paint", "picture", "image", "photo", "sketch", "illustrat", "render", "logo",
    ]

    /// Left to itself the simulated model draws when it reads a word of drawing.
    var draws: Bool {
        guard self.hasTool else { return false }
        let text = self.prompt.lowercased()
        return self.mustDraw || self.inputImages > 0 || Self.drawingWords.contains { text.contains($0) }
    }
}
