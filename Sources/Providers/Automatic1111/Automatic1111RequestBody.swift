import ImageGeneration
import NIOCore
import StreamCodecs

/// The unified request in the words of `txt2img` and `img2img`.
struct Automatic1111RequestBody {
    let request: ImageRequest
    /// Checkpoint that draws; nil: whichever the server has loaded.
    let model: String?
    /// By which the server's progress of this very task can be asked.
    let taskID: String

    /// Unified fields that have a place in the body, besides those of every request.
    static let parameters: Set<String> = [
        "negative_prompt", "n", "size", "quality", "output_format", "style", "seed", "images", "mask", "steps",
        "cfg_scale", "sampler", "scheduler", "denoising_strength",
    ]

    /// Names in the server's complaints → unified names.
    static let clientParameters = [
        "prompt": "prompt", "negative_prompt": "negative_prompt", "n_iter": "n", "width": "size", "height": "size",
        "steps": "quality", "styles": "style", "seed": "seed", "init_images": "images", "mask": "mask",
        "sampler_name": "sampler", "scheduler": "scheduler", "cfg_scale": "cfg_scale",
        "denoising_strength": "denoising_strength",
    ]

    var path: String { self.request.operation == .edit ? "/sdapi/v1/img2img" : "/sdapi/v1/txt2img" }

    func pieces() throws(GatewayError) -> [ByteBuffer] {
        var writer = SplicingWriter()
        writer.json.beginObject()
        writer.json.field("prompt", self.request.prompt)
        writer.json.field("negative_prompt", self.request.negativePrompt)
        writer.json.field("seed", self.request.seed)
        writer.json.field("n_iter", self.request.count > 1 ? self.request.count : nil)
        let size = self.pixels
        writer.json.field("width", size?.width)
        writer.json.field("height", size?.height)
        writer.json.field("steps", self.steps)
        writer.json.field("cfg_scale", self.number("cfg_scale"))
        writer.json.field("sampler_name", self.word("sampler"))
        writer.json.field("scheduler", self.word("scheduler"))
        if let style = self.request.style {
            writer.json.key("styles")
            writer.json.beginArray()
            writer.json.value(style)
            writer.json.endArray()
        }
        self.writeSettings(into: &writer.json)
        writer.json.field("force_task_id", self.taskID)
        if self.request.operation == .edit { try self.writePictures(into: &writer) }
        writer.json.endObject()
        return writer.finish()
    }

    /// Settings of the server for this one call.
    private func writeSettings(into json: inout JSONWriter) {
        let format = self.request.outputFormat.map { $0 == .jpeg ? "jpg" : $0.rawValue }
        guard self.model != nil || format != nil else { return }
        json.key("override_settings")
        json.beginObject()
        json.field("sd_model_checkpoint", self.model)
        json.field("samples_format", format)
        json.endObject()
    }

    private func writePictures(into writer: inout SplicingWriter) throws(GatewayError) {
        writer.json.key("init_images")
        writer.json.beginArray()
        for image in self.request.images { try Self.splice(image, parameter: "images", into: &writer) }
        writer.json.endArray()
        if let mask = self.request.mask {
            writer.json.key("mask")
            try Self.splice(mask, parameter: "mask", into: &writer)
        }
        writer.json.field("denoising_strength", self.number("denoising_strength"))
    }

    private static func splice(
        _ image: InputImage, parameter: String, into writer: inout SplicingWriter
    ) throws(GatewayError) {
        guard let (_, base64) = InputMediaType.encoded(image) else {
            throw GatewayError(
                .unsupportedParameter, "This upstream takes pictures only with the request, not by reference.",
                parameter: parameter)
        }
        writer.splice(base64)
    }
}

// MARK: Values

extension Automatic1111RequestBody {
    /// Longer side of a picture that is asked for by its ratio alone.
    private static let usualSide = 1024

    /// Sides are multiples of 8.
    private var pixels: (width: Int, height: Int)? {
        switch self.request.size {
        case .named(let name):
            guard name.contains("x"), let size = AspectRatio(name) else { return nil }
            return Self.rounded(size.width, size.height)
        case .pixels(let width, let height): return Self.rounded(width, height)
        case .aspectRatio(let width, let height):
            guard width > 0, height > 0 else { return nil }
            let longer = max(width, height)
            return Self.rounded(Self.usualSide * width / longer, Self.usualSide * height / longer)
        case nil: return nil
        }
    }

    private static func rounded(_ width: Int, _ height: Int) -> (width: Int, height: Int) {
        func side(_ pixels: Int) -> Int { min(max((pixels + 4) / 8 * 8, 64), 4096) }
        return (side(width), side(height))
    }

    /// As asked, else by quality; nil leaves it to the server.
    private var steps: Int? {
        if let steps = self.number("steps") { return Int(min(max(steps, 1), 150)) }
        switch self.request.quality {
        case "draft", "low": return 12
        case "standard", "medium": return 24
        case "hd", "high": return 40
        case "xhigh", "max", "ultra": return 60
        default: return nil
        }
    }

    private func number(_ name: String) -> Double? {
        switch self.request.extensions[name] {
        case .integer(let number): Double(number)
        case .text(let text): Double(text).flatMap { $0.isFinite ? $0 : nil }
        case .boolean, nil: nil
        }
    }

    private func word(_ name: String) -> String? {
        guard case .text(let text) = self.request.extensions[name] else { return nil }
        return text
    }
}
