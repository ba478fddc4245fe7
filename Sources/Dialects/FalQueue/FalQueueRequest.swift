import ImageGeneration
import StreamCodecs

/// Reads a submission: the model's input as the whole body, in the model's own vocabulary.
enum FalQueueRequest {
    private static let reader = ModelInputReader(
        counts: ["num_images", "n"], pictures: ["image_url"], pictureLists: ["image_urls"],
        masks: ["mask_url", "mask_image_url"], own: ["image_size", "sync_mode"])

    /// The API's names of sizes, by their ratios.
    private static let sizes: [String: (width: Int, height: Int)] = [
        "square_hd": (1, 1), "square": (1, 1), "portrait_4_3": (3, 4), "portrait_16_9": (9, 16),
        "landscape_4_3": (4, 3), "landscape_16_9": (16, 9),
    ]

    static func decode(_ request: DialectRequest) throws(GatewayError) -> DecodedRequest {
        if request.query.contains(where: { $0.name == "fal_webhook" }) {
            throw GatewayError(
                .unsupportedParameter, "fal_webhook: webhooks come from the configuration.", parameter: "fal_webhook")
        }
        // The service's own streaming calls end so; taken for a model's name they would be paid and never read.
        if request.parameters["model"]?.hasSuffix("/stream") == true {
            throw GatewayError(
                .notFound, "Streams of results are not served here: submit, then follow the request's status.")
        }
        let parameters = try RequestParameters(request, formFiles: [])
        var image = try self.reader.read(parameters)
        image.size = try self.size(parameters)
        image.model = request.parameters["model"]
        let wantsBytes = try parameters.boolean("sync_mode") ?? false
        return DecodedRequest(image: image, mode: .queue, delivery: wantsBytes ? .inline : nil)
    }

    private static func size(_ parameters: RequestParameters) throws(GatewayError) -> ImageRequest.Size? {
        guard let parameter = parameters["image_size"] else { return try self.reader.size(parameters) }
        if case .json(let node) = parameter.value, node.kind == .object {
            let members = try RequestParameters(members: parameter)
            guard let width = try members.integer("width", 1...16_384),
                let height = try members.integer("height", 1...16_384)
            else { throw parameter.invalid("must have width and height") }
            return .pixels(width: Int(width), height: Int(height))
        }
        let word = try parameter.string(maximumCount: 32)
        if word == "auto" { return .named(word) }
        guard let ratio = self.sizes[word] else { return try SizeReader.pixels(parameter) }
        return .aspectRatio(width: ratio.width, height: ratio.height)
    }
}
