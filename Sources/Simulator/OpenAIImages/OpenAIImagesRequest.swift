import NIOCore
import StreamCodecs

/// A checked request to the Images API.
struct OpenAIImagesRequest: Sendable {
    var prompt = ""
    var model = ""
    var n = 1
    var width = 1024
    var height = 1024
    var quality = "medium"
    var background = "opaque"
    var partialImages = 0
    var stream = false
    /// Pictures sent to be edited, and a hash of all of them.
    var inputImages = 0
    var inputHash = FNV1a()

    var size: String { "\(self.width)x\(self.height)" }

    init(edit: Bool, contentType: String?, body: ByteBuffer) throws(SimulatorError) {
        let mediaType = (contentType ?? "").lowercased()
        var parameters: [(name: String, value: OpenAIParameter)]
        if edit, mediaType.hasPrefix("multipart/form-data") {
            parameters = try self.readForm(contentType: contentType ?? "", body: body)
        } else {
            parameters = try self.readJSON(body)
        }
        parameters.removeAll { $0.value.isNull }
        if case .text(let model)? = parameters.first(where: { $0.name == "model" })?.value { self.model = model }
        if case .json(let node)? = parameters.first(where: { $0.name == "model" })?.value {
            self.model = node.string ?? ""
        }
        for (name, value) in parameters { try self.take(name, value, edit: edit) }
        guard !self.prompt.isEmpty else {
            throw SimulatorError(
                400, "Missing required parameter: 'prompt'.", code: "missing_required_parameter", parameter: "prompt")
        }
        if edit, self.inputImages == 0 {
            throw SimulatorError(
                400, "Missing required parameter: 'image'.", code: "missing_required_parameter", parameter: "image")
        }
    }

    private mutating func readJSON(
        _ body: ByteBuffer
    ) throws(SimulatorError) -> [(name: String, value: OpenAIParameter)] {
        do {
            let root = try JSONDocument(body, duplicateKeys: .last).root
            guard root.kind == .object else {
                throw SimulatorError(400, "The request body must be a JSON object.")
            }
            return root.members.map { ($0.key, .json($0.value)) }
        } catch let error as JSONSyntaxError {
            throw SimulatorError(
                400, "We could not parse the JSON body of your request (line \(error.line), column \(error.column)).")
        } catch let error as SimulatorError {
            throw error
        } catch {
            throw SimulatorError(400, "We could not parse the JSON body of your request.")
        }
    }

    private mutating func readForm(
        contentType: String, body: ByteBuffer
    ) throws(SimulatorError) -> [(name: String, value: OpenAIParameter)] {
        guard let boundary = MultipartForm.boundary(contentType: contentType) else {
            throw SimulatorError(400, "The multipart body has no usable boundary.")
        }
        let parts: [MultipartPart]
        do { parts = try MultipartForm.parts(body, boundary: boundary) } catch {
            throw SimulatorError(400, "We could not parse the multipart body of your request.")
        }
        var parameters: [(name: String, value: OpenAIParameter)] = []
        for part in parts {
            let name = part.name.split(separator: "[", maxSplits: 1).first.map(String.init) ?? part.name
            switch name {
            case "image": try self.takeFile(part.body, name: name)
            case "mask", "markup": try self.check(part.body, name: name)
            default: parameters.append((name, .text(String(buffer: part.body))))
            }
        }
        return parameters
    }

    private mutating func takeFile(_ file: ByteBuffer, name: String) throws(SimulatorError) {
        try self.check(file, name: name)
        self.inputImages += 1
        self.inputHash.combine(file.readableBytesView)
    }

    private func check(_ file: ByteBuffer, name: String) throws(SimulatorError) {
        let starts: [[UInt8]] = [[0x89, 0x50, 0x4E, 0x47], [0xFF, 0xD8, 0xFF], Array("RIFF".utf8)]
        guard starts.contains(where: { file.readableBytesView.starts(with: $0) }) else {
            throw SimulatorError(
                400, "Invalid image file or mode for '\(name)': expected png, jpeg or webp.",
                type: "image_generation_user_error", code: "invalid_image_file", parameter: name)
        }
    }

    private mutating func take(
        _ name: String, _ value: OpenAIParameter, edit: Bool
    ) throws(SimulatorError) {
        switch name {
        case "prompt": self.prompt = try self.checkedPrompt(value)
        case "n": self.n = try value.integer(name, 1...10)
        case "size": (self.width, self.height) = try Self.size(value.string(name))
        case "quality": self.quality = Self.quality(try value.word(name, Self.qualities))
        case "background":
            let word = try value.word(name, ["transparent", "opaque", "auto"])
            self.background = word == "auto" ? "opaque" : word
        case "stream": self.stream = try value.boolean(name)
        case "partial_images": self.partialImages = try value.integer(name, 0...3)
        case "images" where edit: try self.takeImages(value)
        default: try self.pass(name, value, edit: edit)
        }
    }

    /// Parameters that are checked and change nothing in a drawing.
    private func pass(_ name: String, _ value: OpenAIParameter, edit: Bool) throws(SimulatorError) {
        switch name {
        case "model", "user", "safety_identifier": _ = try value.string(name)
        case "output_format": _ = try value.word(name, ["png", "jpeg", "webp", "gif", "svg"])
        case "output_compression": _ = try value.integer(name, 0...100)
        case "moderation": _ = try value.word(name, ["auto", "low"])
        case "complexity": _ = try value.word(name, ["low", "medium", "high"])
        case "frame_count": _ = try value.integer(name, 2...16)
        case "frame_duration_ms": _ = try value.integer(name, 1...60000)
        case "svg": break
        case "input_fidelity" where edit: _ = try value.word(name, ["high", "low"])
        case "mask" where edit, "markup" where edit: break
        case "response_format" where !Self.isImageModel(self.model): _ = try value.word(name, ["b64_json"])
        case "style" where !Self.isImageModel(self.model) && !edit: _ = try value.string(name)
        default:
            throw SimulatorError(
                400, "Unknown parameter: '\(name.prefix(60))'.", code: "unknown_parameter",
                parameter: String(name.prefix(60)))
        }
    }

    private func checkedPrompt(_ value: OpenAIParameter) throws(SimulatorError) -> String {
        let prompt = try value.string("prompt")
        guard prompt.unicodeScalars.count <= 32_000 else {
            throw SimulatorError(
                400, "Invalid 'prompt': string too long. Expected at most 32000 characters.",
                code: "string_above_max_length", parameter: "prompt")
        }
        return prompt
    }

    private mutating func takeImages(_ value: OpenAIParameter) throws(SimulatorError) {
        guard case .json(let node) = value, node.kind == .array, (1...16).contains(node.elements.count) else {
            throw SimulatorError(
                400, "Invalid 'images': expected an array of 1 to 16 objects.", code: "invalid_value",
                parameter: "images")
        }
        for element in node.elements {
            guard let reference = (element["image_url"] ?? element["file_id"])?.stringSlice else {
                throw SimulatorError(
                    400, "Invalid 'images': every element needs 'image_url' or 'file_id'.", code: "invalid_value",
                    parameter: "images")
            }
            self.inputImages += 1
            self.inputHash.combine(reference.readableBytesView)
        }
    }

    private static let qualities = ["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]

    private static func quality(_ word: String) -> String {
        switch word {
        case "auto", "standard": "medium"
        case "hd": "high"
        default: word
        }
    }

    /// Models that refuse the parameters of their predecessors; also whatever an absent name stands for.
    private static func isImageModel(_ model: String) -> Bool {
        model.isEmpty || model.hasPrefix("gpt-image") || model.hasPrefix("chatgpt-image")
    }

    static func size(_ text: String) throws(SimulatorError) -> (width: Int, height: Int) {
        if text == "auto" { return (1024, 1024) }
        let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard sides.count == 2, let width = sides[0], let height = sides[1], Picture.sides.contains(width),
            Picture.sides.contains(height)
        else {
            throw SimulatorError(
                400,
                "Invalid size '\(text.prefix(40))'. Simulated sizes are 'auto' and WIDTHxHEIGHT, each from 16 to 2048.",
                code: "invalid_value", parameter: "size")
        }
        return (width, height)
    }
}
