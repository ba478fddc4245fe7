import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads the input of APIs that serve many models. What they all know has its place in the unified request; the rest is the model's own
/// affair and goes on as it is, as long as it is a scalar: such a service checks names only against the model that is asked.
struct ModelInputReader {
    /// How the API calls things. Of several names the first that is given counts.
    var counts: [String]
    var pictures: [String]
    var pictureLists: [String]
    var masks: [String]
    /// Names that the dialect reads itself.
    var own: [String] = []

    private static let common = [
        "prompt", "negative_prompt", "seed", "quality", "background", "style", "user", "user_id", "output_format",
        "output_quality", "output_compression", "aspect_ratio", "width", "height", "size",
    ]
    private static let maximumExtras = 32

    /// The size is left to ``size(_:)``.
    func read(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest {
        var image = ImageRequest(operation: .generate, prompt: try parameters.prompt())
        image.negativePrompt = try parameters.string("negative_prompt", maximumCount: 32_000)
        if let count = self.first(of: self.counts, parameters) { image.count = Int(try count.integer(1...10)) }
        image.seed = try parameters.integer("seed", Int64.min...Int64.max)
        image.quality = try parameters.word("quality")
        image.background = try parameters.word("background")
        image.style = try parameters.word("style")
        image.user = try self.first(of: ["user", "user_id"], parameters)?.string(maximumCount: 256)
        image.outputFormat = try self.format(parameters)
        let compression = self.first(of: ["output_quality", "output_compression"], parameters)
        image.outputCompression = try compression.map { parameter throws(GatewayError) in
            Int(try parameter.integer(0...100))
        }
        try self.readPictures(parameters, into: &image)
        try self.readExtras(parameters, into: &image)
        return image
    }

    /// By `aspect_ratio`, `size`, or `width` with `height`. A ratio that says no ratio leaves it to the others.
    func size(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest.Size? {
        if let ratio = parameters["aspect_ratio"] {
            let word = try ratio.string(maximumCount: 32)
            if !["custom", "auto", "match_input_image"].contains(word) { return try SizeReader.aspectRatio(ratio) }
        }
        if let size = parameters["size"] { return try SizeReader.named(size) }
        switch (parameters["width"], parameters["height"]) {
        case (nil, nil): return nil
        case (let width?, let height?):
            return .pixels(width: Int(try width.integer(1...16_384)), height: Int(try height.integer(1...16_384)))
        case (let alone?, nil): throw alone.invalid("needs height beside it")
        case (nil, let alone?): throw alone.invalid("needs width beside it")
        }
    }

    private func first(of names: [String], _ parameters: RequestParameters) -> RequestParameter? {
        for name in names {
            if let parameter = parameters[name] { return parameter }
        }
        return nil
    }

    private func format(_ parameters: RequestParameters) throws(GatewayError) -> ImageFormat? {
        guard let parameter = parameters["output_format"] else { return nil }
        let word = try parameter.choice(ImageFormat.allCases.map(\.rawValue) + ["jpg"])
        return ImageFormat(rawValue: word == "jpg" ? "jpeg" : word)
    }

    private func readPictures(_ parameters: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        for name in self.pictures {
            if let picture = parameters[name] { image.images.append(try InputImageReader.dataURL(picture)) }
        }
        for name in self.pictureLists {
            guard let list = parameters[name] else { continue }
            image.images += try InputImageReader.list(list, element: InputImageReader.dataURL)
        }
        if image.images.count > InputImageReader.maximumCount, let last = self.first(of: self.pictureLists, parameters)
        {
            throw last.invalid("must be at most \(InputImageReader.maximumCount) pictures")
        }
        if let mask = self.first(of: self.masks, parameters) {
            guard !image.images.isEmpty else { throw mask.invalid("needs a picture to edit") }
            image.mask = try InputImageReader.dataURL(mask)
        }
        if !image.images.isEmpty { image.operation = .edit }
    }

    private func readExtras(_ parameters: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        let names = self.own + self.counts + self.pictures + self.pictureLists + self.masks
        let extras = parameters.others(than: Self.common + names)
        for (name, parameter) in extras {
            guard (1...64).contains(name.unicodeScalars.count), image.extensions.count < Self.maximumExtras else {
                let shown = RequestParameter(name: String(name.prefix(64)), value: parameter.value)
                throw shown.invalid("is one name too many, or too long")
            }
            image.extensions[name] = try self.scalar(parameter)
        }
    }

    private func scalar(_ parameter: RequestParameter) throws(GatewayError) -> ImageRequest.ExtensionValue {
        guard case .json(let node) = parameter.value else { return .text(try parameter.string(maximumCount: 512)) }
        switch node.kind {
        case .boolean: return .boolean(try parameter.boolean())
        case .string: return .text(try parameter.string(maximumCount: 512))
        // A fraction stays as the client wrote it.
        case .number: return node.integer.map { .integer($0) } ?? .text(String(buffer: node.raw))
        case .object, .array, .null: throw parameter.unsupported("must be a string, a number or a boolean")
        }
    }
}
