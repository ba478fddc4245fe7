import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// The unified request in the words of the Images API: JSON for generations, a form for edits of uploads, JSON for edits
/// of pictures that the upstream fetches itself.
///
/// `response_format` and `style` are not written: the models of today refuse the first and do not know the second. Look-alikes
/// need the first, or answer with links; ``OpenAIImagesPreset`` says which.
struct OpenAIImagesRequestBody {
    let request: ImageRequest
    let configuration: ProviderConfiguration

    private var preset: OpenAIImagesPreset { OpenAIImagesPreset(self.configuration) }

    private enum Scalar {
        case text(String)
        case integer(Int)
        case boolean(Bool)

        var text: String {
            switch self {
            case .text(let text): text
            case .integer(let number): String(number)
            case .boolean(let flag): flag ? "true" : "false"
            }
        }
    }

    var streams: Bool {
        (self.request.partialImages ?? 0) > 0 || self.preset.countsBySequence && self.request.count > 1
    }

    func call(entropy: UInt64) throws(GatewayError) -> ExchangeCall {
        let isEdit = self.request.operation == .edit && !self.preset.editsByGenerating
        var call = self.configuration.call(
            .post, isEdit ? "/images/edits" : "/images/generations", .submit, key: self.preset.key)
        call.worksInSilence = !self.streams
        call.headers[.accept] = self.streams ? "text/event-stream, application/json" : "application/json"
        if isEdit, !self.hasReferences {
            var generator = SplitMix(state: entropy)
            var form = MultipartFormWriter(drawingFrom: &generator)
            try self.write(into: &form)
            call.headers[.contentType] = form.contentType
            call.body = form.finish()
        } else {
            call.headers[.contentType] = "application/json"
            call.body = self.json()
        }
        return call
    }

    /// Names whose values came from the client: upstream's → unified.
    var clientParameters: [String: String] {
        var names = ["prompt": "prompt"]
        for field in self.scalars where field.name != "stream" && field.name != "model" {
            names[field.name] = field.name
        }
        if self.configuration.model == nil, self.request.model != nil { names["model"] = "model" }
        if !self.request.images.isEmpty {
            names["image"] = "images"
            names["images"] = "images"
        }
        if self.request.mask != nil { names["mask"] = "mask" }
        return names
    }

    private var scalars: [(name: String, value: Scalar)] {
        var fields: [(name: String, value: Scalar)] = []
        func put(_ name: String, _ text: String?) { if let text { fields.append((name, .text(text))) } }
        func put(_ name: String, _ number: Int?) { if let number { fields.append((name, .integer(number))) } }
        put(
            "model",
            self.preset.omitsModel
                ? nil : self.configuration.model ?? self.request.imageModel ?? self.request.model)
        put("n", self.request.count > 1 && !self.preset.countsBySequence ? self.request.count : nil)
        put("size", self.request.size.map(self.preset.size))
        put("response_format", self.preset.responseFormat)
        put("quality", self.request.quality)
        put("background", self.request.background)
        put("output_format", self.request.outputFormat?.rawValue)
        put("output_compression", self.request.outputCompression)
        put("user", self.request.user)
        for name in self.request.operation == .edit ? ["input_fidelity", "moderation"] : ["moderation"] {
            switch self.request.extensions[name] {
            case .text(let text): put(name, text)
            case .integer(let number): put(name, Int(exactly: number))
            case .boolean(let flag): fields.append((name, .boolean(flag)))
            case nil: break
            }
        }
        if self.streams { fields.append(("stream", .boolean(true))) }
        if self.streams, !self.preset.countsBySequence { put("partial_images", self.request.partialImages) }
        return fields
    }
}

// MARK: Form

extension OpenAIImagesRequestBody {
    private func write(into form: inout MultipartFormWriter) throws(GatewayError) {
        form.append(name: "prompt", text: self.request.prompt)
        for field in self.scalars { form.append(name: field.name, text: field.value.text) }
        let name = self.request.images.count == 1 ? "image" : "image[]"
        for (index, image) in self.request.images.enumerated() {
            try form.append(image, name: name, fileName: "image-\(index + 1)", parameter: "images")
        }
        if let mask = self.request.mask {
            try form.append(mask, name: "mask", fileName: "mask", parameter: "mask")
        }
    }
}

// MARK: JSON

extension OpenAIImagesRequestBody {
    /// Some picture is only named, which a form cannot say.
    private var hasReferences: Bool {
        (self.request.images + [self.request.mask].compactMap(\.self)).contains(where: \.isReference)
    }

    private func json() -> [ByteBuffer] {
        var writer = SplicingWriter()
        writer.json.beginObject()
        writer.json.field("prompt", self.request.prompt)
        for field in self.scalars {
            writer.json.key(dynamic: field.name)
            switch field.value {
            case .text(let text): writer.json.value(text)
            case .integer(let number): writer.json.value(number)
            case .boolean(let flag): writer.json.value(flag)
            }
        }
        if self.preset.countsBySequence { self.writeSequence(into: &writer.json) }
        if self.preset.editsByGenerating, !self.request.images.isEmpty {
            writer.json.key("image")
            writer.json.beginArray()
            for image in self.request.images { Self.writeBare(image, into: &writer) }
            writer.json.endArray()
        } else if !self.request.images.isEmpty {
            writer.json.key("images")
            writer.json.beginArray()
            for image in self.request.images { Self.write(image, into: &writer) }
            writer.json.endArray()
        }
        if let mask = self.request.mask {
            writer.json.key("mask")
            Self.write(mask, into: &writer)
        }
        writer.json.endObject()
        return writer.finish()
    }

    private func writeSequence(into json: inout JSONWriter) {
        json.field("seed", self.request.seed)
        guard self.request.count > 1 else { return }
        json.field("sequential_image_generation", staticText: "auto")
        json.key("sequential_image_generation_options")
        json.beginObject()
        json.field("max_images", self.request.count)
        json.endObject()
    }

    /// A URL, whether it leads to the picture or holds it.
    private static func writeBare(_ image: InputImage, into writer: inout SplicingWriter) {
        switch image.content {
        case .url(let text), .fileID(let text): writer.json.value(text)
        case .bytes, .base64: writer.spliceDataURL(image)
        }
    }

    private static func write(_ image: InputImage, into writer: inout SplicingWriter) {
        writer.json.beginObject()
        switch image.content {
        case .fileID(let id):
            writer.json.field("file_id", id)
        case .url(let url):
            writer.json.field("image_url", url)
        case .bytes, .base64:
            writer.json.key("image_url")
            writer.spliceDataURL(image)
        }
        writer.json.endObject()
    }
}
