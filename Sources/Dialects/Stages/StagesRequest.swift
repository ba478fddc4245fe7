import ImageGeneration
import NIOCore
import StreamCodecs

/// Reads the create request. Names it does not know are ignored, as the services of this family ignore them; values of
/// known names are checked.
enum StagesRequest {
    static let styles = [
        "natural", "vivid", "photographic", "digital-art", "anime", "watercolor", "oil-painting", "sketch", "cinematic",
        "fantasy", "minimalist", "3d-render",
    ]
    static let aspectRatios = ["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21"]
    private static let qualities = ["draft", "standard", "high", "ultra"]
    private static let orientations = ["landscape": "3:2", "portrait": "2:3", "square": "1:1"]

    /// Names of the extensions that carry what the unified request has no word for.
    static let provider = "provider"
    static let blogID = "blog_id"
    static let blogJobID = "blog_job_id"
    static let isDraft = "is_draft"

    static func decode(_ request: DialectRequest, operation: ImageRequest.Operation)
        throws(GatewayError) -> ImageRequest
    {
        let parameters = try RequestParameters(request, formFiles: [])
        guard operation == .generate else {
            throw GatewayError(.unsupportedParameter, "This API generates pictures; it does not edit them.")
        }
        var image = ImageRequest(operation: operation, prompt: try parameters.prompt())
        image.negativePrompt = try parameters.string("negative_prompt", maximumCount: 32_000)
        image.style = try parameters.choice("style", self.styles)
        image.size = try self.size(parameters)
        image.seed = try parameters.integer("seed", Int64.min...Int64.max)
        let quality = try parameters.choice("quality", self.qualities)
        image.quality = quality.map(self.unifiedQuality)
        let isDraft = try parameters.boolean(self.isDraft) ?? (quality == "draft")
        if isDraft { image.extensions[self.isDraft] = .boolean(true) }
        if let hint = try parameters.word(self.provider) { image.extensions[self.provider] = .text(hint) }
        for name in [self.blogID, self.blogJobID] {
            if let id = try self.identifier(parameters, name) { image.extensions[name] = id }
        }
        return image
    }

    /// Upstreams that know more than three grades are rare and disagree on their names, so the two best ones are one.
    private static func unifiedQuality(_ word: String) -> String {
        switch word {
        case "draft": "low"
        case "standard": "medium"
        default: "high"
        }
    }

    private static func size(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest.Size? {
        guard let parameter = parameters["aspect_ratio"] else { return nil }
        let word = try parameter.string(maximumCount: 32)
        let ratio = self.orientations[word] ?? word
        guard self.aspectRatios.contains(ratio) else {
            throw parameter.invalid("must be one of \(self.aspectRatios.joined(separator: ", "))")
        }
        return try SizeReader.aspectRatio(RequestParameter(name: parameter.name, value: .text(ratio)))
    }

    /// Echoed in every event, so its length is bounded: 64 visible ASCII characters, or an integer.
    private static func identifier(_ parameters: RequestParameters, _ name: String)
        throws(GatewayError) -> ImageRequest.ExtensionValue?
    {
        guard let parameter = parameters[name] else { return nil }
        if case .json(let node) = parameter.value, node.kind == .number {
            return .integer(try parameter.integer(Int64.min...Int64.max))
        }
        return .text(try parameter.word(maximumCount: 64))
    }
}
