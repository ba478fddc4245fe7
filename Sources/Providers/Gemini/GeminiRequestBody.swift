import ImageGeneration
import NIOCore
import StreamCodecs

/// The unified request as contents, each a list of parts.
struct GeminiRequestBody {
    let request: ImageRequest

    /// Ratios that the models draw.
    static let ratios = ["1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9"].compactMap {
        AspectRatio($0)
    }

    func pieces() -> [ByteBuffer] {
        var writer = SplicingWriter()
        writer.json.beginObject()
        self.writeInstructions(into: &writer.json)
        writer.json.key("contents")
        writer.json.beginArray()
        for message in self.request.messages where message.role != .system {
            Self.writeContent(
                role: message.role == .assistant ? "model" : "user", text: message.text, images: message.images,
                into: &writer)
        }
        Self.writeContent(role: "user", text: self.request.prompt, images: self.request.images, into: &writer)
        writer.json.endArray()
        self.writeConfiguration(into: &writer.json)
        writer.json.endObject()
        return writer.finish()
    }

    /// The same for the Interactions API: a text, or parts of the last message.
    func interaction(model: String) -> [ByteBuffer] {
        var writer = SplicingWriter()
        writer.json.beginObject()
        writer.json.field("model", model)
        writer.json.key("input")
        if self.request.images.isEmpty {
            writer.json.value(self.request.prompt)
        } else {
            writer.json.beginArray()
            writer.json.beginObject()
            writer.json.field("type", staticText: "text")
            writer.json.field("text", self.request.prompt)
            writer.json.endObject()
            for image in self.request.images { Self.writeInput(image, into: &writer) }
            writer.json.endArray()
        }
        writer.json.field("stream", true)
        writer.json.endObject()
        return writer.finish()
    }

    private static func writeInput(_ image: InputImage, into writer: inout SplicingWriter) {
        writer.json.beginObject()
        writer.json.field("type", staticText: "image")
        if let (type, base64) = InputMediaType.encoded(image) {
            writer.json.field("mime_type", type)
            writer.json.key("data")
            writer.splice(base64)
        } else if case .url(let uri) = image.content {
            writer.json.field("uri", uri)
        } else if case .fileID(let uri) = image.content {
            writer.json.field("uri", uri)
        }
        writer.json.endObject()
    }

    /// Instructions and system messages stand apart from the conversation.
    private func writeInstructions(into json: inout JSONWriter) {
        let texts =
            [self.request.instructions].compactMap(\.self)
            + self.request.messages.filter { $0.role == .system }.map(\.text)
        guard !texts.isEmpty else { return }
        json.key("systemInstruction")
        json.beginObject()
        json.key("parts")
        json.beginArray()
        for text in texts {
            json.beginObject()
            json.field("text", text)
            json.endObject()
        }
        json.endArray()
        json.endObject()
    }

    private static func writeContent(
        role: String, text: String, images: [InputImage], into writer: inout SplicingWriter
    ) {
        guard !text.isEmpty || !images.isEmpty else { return }
        writer.json.beginObject()
        writer.json.field("role", role)
        writer.json.key("parts")
        writer.json.beginArray()
        if !text.isEmpty {
            writer.json.beginObject()
            writer.json.field("text", text)
            writer.json.endObject()
        }
        for image in images { self.write(image, into: &writer) }
        writer.json.endArray()
        writer.json.endObject()
    }

    private static func write(_ image: InputImage, into writer: inout SplicingWriter) {
        writer.json.beginObject()
        if let (type, base64) = InputMediaType.encoded(image) {
            writer.json.key("inlineData")
            writer.json.beginObject()
            writer.json.field("mimeType", type)
            writer.json.key("data")
            writer.splice(base64)
            writer.json.endObject()
        } else {
            writer.json.key("fileData")
            writer.json.beginObject()
            switch image.content {
            case .url(let uri), .fileID(let uri): writer.json.field("fileUri", uri)
            case .bytes, .base64: break
            }
            writer.json.endObject()
        }
        writer.json.endObject()
    }

    private func writeConfiguration(into json: inout JSONWriter) {
        json.key("generationConfig")
        json.beginObject()
        json.key("responseModalities")
        json.beginArray()
        json.value(staticText: "TEXT")
        if self.request.picture != .never { json.value(staticText: "IMAGE") }
        json.endArray()
        json.field("seed", self.request.seed)
        let ratio = self.ratio
        let size = self.imageSize
        if self.request.picture != .never, ratio != nil || size != nil {
            json.key("imageConfig")
            json.beginObject()
            json.field("aspectRatio", ratio)
            json.field("imageSize", size)
            json.endObject()
        }
        json.endObject()
    }

    private var wanted: AspectRatio? {
        switch self.request.size {
        case .named(let name): AspectRatio(name)
        case .pixels(let width, let height), .aspectRatio(let width, let height):
            width > 0 && height > 0 ? AspectRatio(width: width, height: height) : nil
        case nil: nil
        }
    }

    /// The nearest ratio.
    private var ratio: String? {
        self.wanted?.nearest(of: Self.ratios).map { "\($0.width):\($0.height)" }
    }

    /// By quality, else by the pixels asked for; not written where the model's usual 1K will do, since older models know no
    /// other.
    private var imageSize: String? {
        switch self.request.quality {
        case "high", "hd": return "2K"
        case "xhigh", "max", "ultra": return "4K"
        default: break
        }
        guard case .aspectRatio = self.request.size else {
            let longer = self.wanted.map { max($0.width, $0.height) } ?? 0
            return longer > 2816 ? "4K" : longer > 1536 ? "2K" : nil
        }
        return nil
    }

    /// Names in the service's complaints → unified names.
    static let parameters = [
        "contents": "prompt", "aspectRatio": "size", "aspect_ratio": "size", "imageSize": "quality", "seed": "seed",
        "model": "model",
    ]
}
