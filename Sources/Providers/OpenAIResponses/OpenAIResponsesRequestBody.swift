import ImageGeneration
import NIOCore
import StreamCodecs

/// The unified request in the words of the Responses API: a conversation, and the tool that draws.
///
/// `store` is written only for background responses, which the service keeps by its nature.
struct OpenAIResponsesRequestBody {
    let request: ImageRequest
    let configuration: ProviderConfiguration

    func pieces() -> [ByteBuffer] {
        var writer = SplicingWriter()
        writer.json.beginObject()
        writer.json.field("model", self.configuration.model ?? self.request.model)
        writer.json.field("instructions", self.request.instructions)
        self.writeInput(into: &writer)
        writer.json.field("stream", true)
        if self.configuration.background {
            writer.json.field("background", true)
            writer.json.field("store", true)
        }
        if self.request.picture != .never { self.writeTool(into: &writer) }
        writer.json.field("user", self.request.user)
        if !self.request.metadata.isEmpty { self.writeMetadata(into: &writer.json) }
        writer.json.endObject()
        return writer.finish()
    }

    private func writeMetadata(into json: inout JSONWriter) {
        json.key("metadata")
        json.beginObject()
        for (name, value) in self.request.metadata.sorted(by: { $0.key < $1.key }) {
            json.key(dynamic: name)
            json.value(value)
        }
        json.endObject()
    }
}

// MARK: The tool

extension OpenAIResponsesRequestBody {
    /// Parameters of the tool that are the unified request's own, in the unified spelling.
    static let toolParameters = [
        "size", "quality", "output_format", "output_compression", "background", "mask", "moderation", "input_fidelity",
    ]

    private func writeTool(into writer: inout SplicingWriter) {
        writer.json.key("tools")
        writer.json.beginArray()
        writer.json.beginObject()
        writer.json.field("type", staticText: "image_generation")
        writer.json.field("model", self.request.imageModel)
        writer.json.field("size", self.request.size.map(OpenAIImagesPreset(self.configuration).size))
        writer.json.field("quality", self.request.quality)
        writer.json.field("output_format", self.request.outputFormat?.rawValue)
        writer.json.field("output_compression", self.request.outputCompression)
        writer.json.field("background", self.request.background)
        for name in ["moderation", "input_fidelity"] {
            guard case .text(let text) = self.request.extensions[name] else { continue }
            writer.json.key(dynamic: name)
            writer.json.value(text)
        }
        if let previews = self.request.partialImages, previews > 0 { writer.json.field("partial_images", previews) }
        if let mask = self.request.mask {
            writer.json.key("input_image_mask")
            writer.json.beginObject()
            Self.writeReference(to: mask, into: &writer)
            writer.json.endObject()
        }
        writer.json.endObject()
        writer.json.endArray()
        // Without a choice the model may answer in words alone.
        guard self.request.picture == .always else { return }
        writer.json.key("tool_choice")
        writer.json.beginObject()
        writer.json.field("type", staticText: "image_generation")
        writer.json.endObject()
    }
}

// MARK: The conversation

extension OpenAIResponsesRequestBody {
    /// A prompt alone is a string; with pictures or earlier messages it is the last of a list.
    private func writeInput(into writer: inout SplicingWriter) {
        writer.json.key("input")
        guard !self.request.messages.isEmpty || !self.request.images.isEmpty else {
            writer.json.value(self.request.prompt)
            return
        }
        writer.json.beginArray()
        for message in self.request.messages { Self.write(message, into: &writer) }
        Self.write(
            ImageRequest.Message(role: .user, text: self.request.prompt, images: self.request.images), into: &writer)
        writer.json.endArray()
    }

    private static func write(_ message: ImageRequest.Message, into writer: inout SplicingWriter) {
        // An assistant's message holds text only: pictures it drew are shown to it as the user's.
        let isAssistant = message.role == .assistant
        if !message.text.isEmpty || !isAssistant {
            self.writeMessage(
                role: message.role.rawValue, text: message.text, images: isAssistant ? [] : message.images,
                into: &writer)
        }
        if isAssistant, !message.images.isEmpty {
            self.writeMessage(role: "user", text: "", images: message.images, into: &writer)
        }
    }

    private static func writeMessage(
        role: String, text: String, images: [InputImage], into writer: inout SplicingWriter
    ) {
        writer.json.beginObject()
        writer.json.field("role", role)
        writer.json.key("content")
        writer.json.beginArray()
        if !text.isEmpty {
            writer.json.beginObject()
            writer.json.field("type", role == "assistant" ? "output_text" : "input_text")
            writer.json.field("text", text)
            writer.json.endObject()
        }
        for image in images {
            writer.json.beginObject()
            writer.json.field("type", staticText: "input_image")
            self.writeReference(to: image, into: &writer)
            writer.json.endObject()
        }
        writer.json.endArray()
        writer.json.endObject()
    }

    private static func writeReference(to image: InputImage, into writer: inout SplicingWriter) {
        switch image.content {
        case .fileID(let id): writer.json.field("file_id", id)
        case .url(let url): writer.json.field("image_url", url)
        case .bytes, .base64:
            writer.json.key("image_url")
            writer.spliceDataURL(image)
        }
    }
}
