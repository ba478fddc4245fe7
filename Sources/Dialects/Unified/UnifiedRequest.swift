import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads the unified create request: a JSON object, or for edits also a form with the same names. Strict: a name it
/// does not know is an error.
enum UnifiedRequest {
    static let known = [
        "prompt", "negative_prompt", "model", "n", "size", "aspect_ratio", "width", "height", "quality",
        "output_format", "output_compression", "background", "style", "seed", "partial_images", "images", "mask",
        "user", "metadata", "stream", "messages",
    ]
    private static let imageFiles = ["image", "images"]
    private static let maximumMetadata = 16

    static func decode(_ request: DialectRequest, operation: ImageRequest.Operation)
        throws(GatewayError) -> DecodedRequest
    {
        let files = operation == .edit ? self.imageFiles + ["mask"] : []
        let parameters = try RequestParameters(request, formFiles: files)
        try parameters.refuseUnknown(known: self.known)
        if let messages = parameters["messages"] {
            throw messages.unsupported("conversations are not supported yet; send a prompt")
        }
        var image = ImageRequest(operation: operation, prompt: try parameters.prompt())
        image.negativePrompt = try parameters.string("negative_prompt", maximumCount: 32_000)
        image.model = try parameters.word("model")
        image.count = Int(try parameters.integer("n", 1...10) ?? 1)
        image.size = try self.size(parameters)
        image.user = try parameters.string("user")
        image.partialImages = try parameters.integer("partial_images", 0...3).map(Int.init)
        try self.readAppearance(parameters, into: &image)
        try self.readMetadata(parameters, into: &image)
        try self.readImages(parameters, into: &image)
        let mode = try parameters.boolean("stream").map { $0 ? ResponseMode.stream : .wait }
        return DecodedRequest(image: image, mode: mode)
    }

    private static func readAppearance(_ parameters: RequestParameters, into image: inout ImageRequest)
        throws(GatewayError)
    {
        image.quality = try parameters.word("quality")
        let format = try parameters.choice("output_format", ImageFormat.allCases.map(\.rawValue))
        image.outputFormat = format.flatMap { ImageFormat(rawValue: $0) }
        image.outputCompression = try parameters.integer("output_compression", 0...100).map(Int.init)
        image.background = try parameters.word("background")
        image.style = try parameters.word("style")
        image.seed = try parameters.integer("seed", Int64.min...Int64.max)
    }

    /// `size`, `aspect_ratio`, or `width` with `height`: one of them.
    private static func size(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest.Size? {
        let width = parameters["width"]
        let height = parameters["height"]
        let given = [parameters["size"], parameters["aspect_ratio"], width ?? height].compactMap { $0 }
        if given.count > 1 { throw given[1].invalid("cannot be combined with \(given[0].name)") }
        if let size = parameters["size"] { return try SizeReader.named(size) }
        if let ratio = parameters["aspect_ratio"] { return try SizeReader.aspectRatio(ratio) }
        switch (width, height) {
        case (nil, nil): return nil
        case (let width?, let height?):
            return .pixels(
                width: Int(try width.integer(1...16_384)), height: Int(try height.integer(1...16_384)))
        case (let alone?, nil): throw alone.invalid("needs height beside it")
        case (nil, let alone?): throw alone.invalid("needs width beside it")
        }
    }

    /// Up to 16 scalars that stay with the job; upstreams that know such are told. A form carries them as JSON.
    private static func readMetadata(_ parameters: RequestParameters, into image: inout ImageRequest)
        throws(GatewayError)
    {
        guard let parameter = parameters["metadata"] else { return }
        guard let node = parameter.jsonValue, node.kind == .object else { throw parameter.invalid("must be an object") }
        let members = node.members
        guard members.count <= self.maximumMetadata else {
            throw parameter.invalid("must have at most \(self.maximumMetadata) members")
        }
        for member in members {
            guard (1...64).contains(member.key.unicodeScalars.count) else {
                throw parameter.invalid("must have names of 1 to 64 characters")
            }
            let value = RequestParameter(name: "metadata.\(member.key)", value: .json(member.value))
            image.metadata[member.key] =
                switch member.value.kind {
                case .boolean: String(try value.boolean())
                case .number: String(try value.integer(Int64.min...Int64.max))
                case .string: try value.string(maximumCount: 512)
                case .object, .array, .null: throw value.invalid("must be a string, an integer or a boolean")
                }
        }
    }

    private static func readImages(_ parameters: RequestParameters, into image: inout ImageRequest)
        throws(GatewayError)
    {
        if let images = parameters["images"] { image.images = try InputImageReader.list(images, element: self.picture) }
        if let mask = parameters["mask"] { image.mask = try self.picture(mask) }
        try InputImageReader.readUploads(parameters, into: &image)
        try InputImageReader.checkOperation(image, imagesName: "images")
    }

    /// A `data:` URL, or `{"b64_json", "media_type"?}`.
    private static func picture(_ parameter: RequestParameter) throws(GatewayError) -> InputImage {
        guard case .json(let node) = parameter.value, node.kind == .object else {
            return try InputImageReader.dataURL(parameter)
        }
        var base64: ByteBuffer?
        var mediaType: String?
        for member in node.members {
            let value = RequestParameter(name: "\(parameter.name).\(member.key)", value: .json(member.value))
            switch member.key {
            case "b64_json": base64 = member.value.stringSlice
            case "media_type" where !member.value.isNull: mediaType = try value.string(maximumCount: 64).lowercased()
            case "media_type": break
            default: throw parameter.invalid("must have b64_json and media_type only")
            }
        }
        guard let base64 else { throw parameter.invalid("must have b64_json, a string") }
        return try InputImageReader.base64(base64, mediaType: mediaType, parameter)
    }
}
