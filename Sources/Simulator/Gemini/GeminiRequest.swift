import NIOCore
import StreamCodecs

/// A checked request to generate content, as far as it draws.
struct GeminiRequest: Sendable {
    var prompt = ""
    var width = 1024
    var height = 1024
    var drawsPictures = false
    var seed: UInt64?
    var count = 1
    /// Hash of the pictures and of the conversation before.
    var inputHash = FNV1a()

    private static let ratios = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"]

    static func invalid(_ message: String) -> SimulatorError {
        SimulatorError(400, message, code: "INVALID_ARGUMENT")
    }

    private static func document(_ body: ByteBuffer) throws(SimulatorError) -> JSONNode {
        do {
            let root = try JSONDocument(body, duplicateKeys: .last).root
            if root.kind == .object { return root }
        } catch {}
        throw self.invalid("Invalid JSON payload received.")
    }

    // MARK: - generateContent

    init(contents body: ByteBuffer) throws(SimulatorError) {
        let root = try Self.document(body)
        let known = ["contents", "systemInstruction", "generationConfig", "safetySettings", "tools", "toolConfig"]
        for member in root.members where !known.contains(member.key) {
            throw Self.invalid("Invalid JSON payload received. Unknown name \"\(member.key.prefix(60))\".")
        }
        for part in root["systemInstruction"]?["parts"]?.elements ?? [] {
            self.inputHash.combine((part["text"]?.string ?? "").utf8)
        }
        for content in root["contents"]?.elements ?? [] { try self.readContent(content) }
        guard !self.prompt.isEmpty else {
            throw Self.invalid("* GenerateContentRequest.contents: contents is not specified")
        }
        try self.readConfiguration(root["generationConfig"])
    }

    private mutating func readContent(_ content: JSONNode) throws(SimulatorError) {
        let role = content["role"]?.string ?? "user"
        guard role == "user" || role == "model" else {
            throw Self.invalid("Please use a valid role: user, model.")
        }
        for part in content["parts"]?.elements ?? [] {
            if let text = part["text"]?.string {
                if role == "user", !self.prompt.isEmpty { self.inputHash.combine(self.prompt.utf8) }
                if role == "user" { self.prompt = text } else { self.inputHash.combine(text.utf8) }
            } else if let reference = (part["inlineData"]?["data"] ?? part["fileData"]?["fileUri"])?.stringSlice {
                self.inputHash.combine(reference.readableBytesView)
            } else {
                throw Self.invalid("* GenerateContentRequest.contents.parts: data: must have one initialized field")
            }
        }
    }

    private mutating func readConfiguration(_ configuration: JSONNode?) throws(SimulatorError) {
        let modalities = (configuration?["responseModalities"]?.elements ?? []).compactMap(\.string)
        self.drawsPictures = modalities.contains("IMAGE")
        self.seed = configuration?["seed"]?.integer.map { UInt64(bitPattern: $0) }
        try self.readRatio(configuration?["imageConfig"]?["aspectRatio"]?.string)
        switch configuration?["imageConfig"]?["imageSize"]?.string {
        case nil, "1K": break
        case "2K", "4K": (self.width, self.height) = Self.doubled(self.width, self.height)
        default: throw Self.invalid("Invalid value at 'generation_config.image_config.image_size'.")
        }
    }

    /// The simulator's pictures end at 2048 pixels a side.
    private static func doubled(_ width: Int, _ height: Int) -> (Int, Int) {
        let longer = max(width, height)
        return (width * 2048 / longer, height * 2048 / longer)
    }

    private mutating func readRatio(_ ratio: String?) throws(SimulatorError) {
        guard let ratio else { return }
        guard Self.ratios.contains(ratio) else {
            throw Self.invalid("aspect_ratio must be one of \(Self.ratios.joined(separator: ", ")).")
        }
        (self.width, self.height) = try StagesRequest.size(ratio: ratio, draft: false)
    }

    // MARK: - predict

    init(prediction body: ByteBuffer) throws(SimulatorError) {
        let root = try Self.document(body)
        guard let prompt = root["instances"]?.elements.first?["prompt"]?.string, !prompt.isEmpty else {
            throw Self.invalid("The prompt is missing.")
        }
        self.prompt = prompt
        let parameters = root["parameters"]
        // The service's own default is four.
        let count = parameters?["sampleCount"]?.integer ?? 4
        guard (1...4).contains(count) else { throw Self.invalid("sampleCount must be from 1 to 4.") }
        self.count = Int(count)
        self.drawsPictures = true
        self.seed = parameters?["seed"]?.integer.map { UInt64(bitPattern: $0) }
        try self.readRatio(parameters?["aspectRatio"]?.string)
    }
}
