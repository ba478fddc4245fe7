import ImageGeneration
import NIOCore
import StreamCodecs

/// The words by which web frontends ask for a picture, in snake and in camel case (`docs/dialects/progressive.md`).
///
/// Read leniently, since these frontends cannot show a refusal: names that are not known are ignored, and words that an
/// upstream does not know are the business of the route's `unsupported`. Values of known names are checked.
enum PictureVocabulary {
    /// Form fields that stand for pictures.
    static let files = ["image", "images", "file", "mask"]
    /// Also the unified request's range; whoever asks for more gets these.
    private static let maximumPreviews: Int64 = 3

    static let orientations: [String: ImageRequest.Size] = [
        "landscape": .aspectRatio(width: 3, height: 2), "portrait": .aspectRatio(width: 2, height: 3),
        "square": .aspectRatio(width: 1, height: 1),
    ]

    /// Upstreams that know more than three grades are rare and disagree on their names.
    static let grades = [
        "draft": "low", "standard": "medium", "normal": "medium", "hd": "high", "ultra": "high", "best": "high",
    ]

    /// Everything but prompt and pictures.
    static func read(_ parameters: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        image.model = try parameters.first("model")?.word(maximumCount: 128)
        image.count = Int(try parameters.first("n", "count", "num_images", "numImages")?.integer(1...10) ?? 1)
        image.size = try self.size(parameters)
        image.quality = try self.quality(parameters)
        image.style = try parameters.first("style")?.word().lowercased()
        image.background = try parameters.first("background")?.word().lowercased()
        image.negativePrompt = try parameters.first("negative_prompt", "negativePrompt")?.string(maximumCount: 32_000)
        image.seed = try parameters.first("seed")?.integer(Int64.min...Int64.max)
        image.user = try parameters.first("user", "user_id", "userId")?.string(maximumCount: 256)
        image.outputFormat = try self.format(parameters)
        image.outputCompression = try parameters.first("output_compression", "outputCompression")?.integer(0...100)
            .asInt
        image.partialImages = try parameters.first("partial_images", "partialImages")?.integer(0...100)
            .bounded(by: self.maximumPreviews)
    }

    /// `stream: false` asks for one answer; nil where the request does not say.
    static func mode(_ parameters: RequestParameters) throws(GatewayError) -> ResponseMode? {
        guard let streams = try parameters.first("stream", "streaming")?.boolean() else { return nil }
        return streams ? .stream : .wait
    }

    /// Uploads, and `image`, `images`, `mask` with `data:` URLs or base64.
    static func readImages(_ parameters: RequestParameters, into image: inout ImageRequest) throws(GatewayError) {
        if let list = parameters.first("images") {
            image.images = try InputImageReader.list(list, element: self.picture)
        }
        if let one = parameters.first("image") { image.images.append(try self.picture(one)) }
        if let mask = parameters.first("mask") { image.mask = try self.picture(mask) }
        try InputImageReader.readUploads(parameters, into: &image)
        try InputImageReader.checkOperation(image, imagesName: "image")
    }

    /// A `data:` URL, base64 without its prefix, or an object that holds one of them.
    static func picture(_ parameter: RequestParameter) throws(GatewayError) -> InputImage {
        guard case .json(let node) = parameter.value else { return try InputImageReader.dataURL(parameter) }
        if node.kind == .object {
            for key in ["b64_json", "url", "image_url", "data"] {
                guard let value = node[key], !value.isNull else { continue }
                return try self.picture(RequestParameter(name: "\(parameter.name).\(key)", value: .json(value)))
            }
            throw parameter.invalid("must have b64_json or url")
        }
        guard let text = node.stringSlice else { throw parameter.invalid("must be a data: URL or base64") }
        guard text.readableBytesView.prefix(8).contains(UInt8(ascii: ":")) else {
            return try InputImageReader.base64(text, mediaType: nil, parameter)
        }
        return try InputImageReader.dataURL(text, parameter)
    }

    // MARK: Values

    private static func size(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest.Size? {
        if let parameter = parameters.first("size", "aspect_ratio", "aspectRatio", "orientation") {
            let word = try parameter.word(maximumCount: 32).lowercased()
            if let size = self.orientations[word] { return size }
            let lowered = RequestParameter(name: parameter.name, value: .text(word))
            return try word.contains(":") ? SizeReader.aspectRatio(lowered) : SizeReader.named(lowered)
        }
        guard let width = parameters.first("width"), let height = parameters.first("height") else { return nil }
        return .pixels(width: Int(try width.integer(1...16_384)), height: Int(try height.integer(1...16_384)))
    }

    /// `draft: true` goes before any word of quality.
    private static func quality(_ parameters: RequestParameters) throws(GatewayError) -> String? {
        if try parameters.first("draft", "is_draft", "isDraft")?.boolean() == true { return "low" }
        guard let word = try parameters.first("quality")?.word().lowercased() else { return nil }
        return self.grades[word] ?? word
    }

    private static func format(_ parameters: RequestParameters) throws(GatewayError) -> ImageFormat? {
        guard let parameter = parameters.first("output_format", "outputFormat", "format") else { return nil }
        let word = try parameter.choice(ImageFormat.allCases.map(\.rawValue) + ["jpg"])
        return word == "jpg" ? .jpeg : ImageFormat(rawValue: word)
    }
}

extension RequestParameters {
    /// The first of these names that the request has.
    func first(_ names: String...) -> RequestParameter? {
        for name in names { if let parameter = self[name] { return parameter } }
        return nil
    }
}

extension Int64 {
    fileprivate var asInt: Int { Int(self) }
    fileprivate func bounded(by most: Int64) -> Int { Int(Swift.min(self, most)) }
}
