import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads `POST …/images/generations` and `…/images/edits`. Model names, sizes and qualities move fast: they are
/// passed on as words, never checked against a list.
enum OpenAIImagesRequest {
    private static let common = [
        "prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "moderation",
        "partial_images", "stream", "user", "safety_identifier", "response_format", "style", "input_fidelity",
        "complexity",
    ]
    private static let unsupported = ["svg", "markup", "frame_count", "frame_duration_ms"]
    private static let extras = ["moderation", "input_fidelity", "safety_identifier", "complexity"]

    static func decode(_ request: DialectRequest, operation: ImageRequest.Operation)
        throws(GatewayError) -> DecodedRequest
    {
        let isEdit = operation == .edit
        let parameters = try RequestParameters(request, formFiles: isEdit ? ["image", "mask"] : [])
        for name in self.unsupported {
            if let parameter = parameters[name] { throw parameter.unsupported("is not supported") }
        }
        try parameters.refuseUnknown(known: self.common + (isEdit ? ["images", "mask"] : []))
        try self.checkResponseFormat(parameters)
        var image = ImageRequest(operation: operation, prompt: try parameters.prompt())
        image.model = try parameters.word("model")
        image.count = Int(try parameters.integer("n", 1...10) ?? 1)
        if let size = parameters["size"] { image.size = try SizeReader.pixels(size) }
        image.quality = try parameters.word("quality")
        image.style = try parameters.word("style")
        image.user = try parameters.string("user")
        image.background = try parameters.choice("background", ["transparent", "opaque", "auto"])
        image.outputCompression = try parameters.integer("output_compression", 0...100).map(Int.init)
        image.outputFormat = try self.outputFormat(parameters)
        for name in self.extras {
            if let text = try parameters.word(name) { image.extensions[name] = .text(text) }
        }
        let previews = try parameters.integer("partial_images", 0...3).map(Int.init)
        let streams = try parameters.boolean("stream") ?? false
        // Without a stream nobody sees previews, and upstreams bill them.
        image.partialImages = streams ? previews : nil
        try self.readImages(parameters, into: &image)
        return DecodedRequest(image: image, mode: streams ? .stream : .wait)
    }

    /// `b64_json` is what is sent anyway. `url` would need a kept image, which this API's clients do not expect to
    /// expire.
    private static func checkResponseFormat(_ parameters: RequestParameters) throws(GatewayError) {
        guard let parameter = parameters["response_format"] else { return }
        guard try parameter.choice(["b64_json", "url"]) == "url" else { return }
        throw parameter.unsupported("only b64_json is supported")
    }

    private static func outputFormat(_ parameters: RequestParameters) throws(GatewayError) -> ImageFormat? {
        guard let parameter = parameters["output_format"] else { return nil }
        let word = try parameter.choice(["png", "webp", "jpeg", "gif", "svg"])
        guard word != "svg" else { throw parameter.unsupported("svg is not supported") }
        return ImageFormat(rawValue: word)
    }

    private static func readImages(_ parameters: RequestParameters, into image: inout ImageRequest)
        throws(GatewayError)
    {
        if let images = parameters["images"] {
            image.images = try InputImageReader.list(images, element: self.reference)
        }
        if let mask = parameters["mask"] { image.mask = try self.reference(mask) }
        try InputImageReader.readUploads(parameters, into: &image)
        try InputImageReader.checkOperation(image, imagesName: "image")
    }

    /// `{"image_url"}` with a `data:` URL, or `{"file_id"}`.
    private static func reference(_ parameter: RequestParameter) throws(GatewayError) -> InputImage {
        guard case .json(let node) = parameter.value, node.kind == .object else {
            throw parameter.invalid("must be an object with image_url or file_id")
        }
        let members = node.members.filter { !$0.value.isNull }
        guard members.count == 1, let member = members.first else {
            throw parameter.invalid("must have image_url or file_id, one of them")
        }
        let value = RequestParameter(name: "\(parameter.name).\(member.key)", value: .json(member.value))
        switch member.key {
        case "image_url": return try InputImageReader.dataURL(value)
        case "file_id": return InputImage(content: .fileID(try value.word(maximumCount: 128)))
        default: throw parameter.invalid("must have image_url or file_id, one of them")
        }
    }
}
