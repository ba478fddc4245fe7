import HTTPTypes
import ImageGeneration
import StreamCodecs

/// Reads a create request. The model is named by the path or by `version`; the input's vocabulary is the models' own.
enum ReplicateRequest {
    /// The extension that remembers what `version` said.
    static let version = "version"

    private static let known = ["input", "version", "model", "stream"]
    private static let webhooks = ["webhook", "webhook_completed", "webhook_events_filter"]
    private static let reader = ModelInputReader(
        counts: ["num_outputs", "number_of_images", "n"],
        pictures: ["image", "input_image", "image_prompt"], pictureLists: ["image_input", "input_images", "images"],
        masks: ["mask", "mask_image"])

    static func decode(_ request: DialectRequest) throws(GatewayError) -> DecodedRequest {
        let parameters = try RequestParameters(request, formFiles: [])
        for name in self.webhooks {
            if let webhook = parameters[name] { throw webhook.unsupported("webhooks come from the configuration") }
        }
        try parameters.refuseUnknown(known: self.known)
        guard let input = parameters["input"] else {
            throw GatewayError(.invalidParameter, "input: is required.", parameter: "input")
        }
        let members = try RequestParameters(members: input)
        var image = try self.reader.read(members)
        image.size = try self.reader.size(members)
        _ = try parameters.boolean("stream")
        try self.readModel(parameters, request, into: &image)
        guard let seconds = self.wait(request.headers) else { return DecodedRequest(image: image, mode: .queue) }
        return DecodedRequest(image: image, mode: .wait, patienceMilliseconds: seconds * 1000)
    }

    /// `owner/name` of the path; else of `version`, whose part behind the colon names no other model; else that version itself.
    private static func readModel(
        _ parameters: RequestParameters, _ request: DialectRequest, into image: inout ImageRequest
    ) throws(GatewayError) {
        if let version = try parameters["version"]?.word(maximumCount: 256) {
            let parts = version.split(separator: ":", maxSplits: 1).map(String.init)
            image.model = parts.first
            let isName = parts.count == 1 && version.contains("/")
            if !isName, let id = parts.last { image.extensions[self.version] = .text(id) }
        }
        if let model = try parameters["model"]?.word(maximumCount: 256) { image.model = model }
        if let owner = request.parameters["owner"], let model = request.parameters["model"] {
            image.model = "\(owner)/\(model)"
        }
    }

    /// Seconds of `Prefer: wait` or `wait=n`, from 1 to 60; nil: do not wait. What is no number counts as absent.
    static func wait(_ headers: HTTPFields) -> Int? {
        for item in headers[values: .prefer].flatMap({ $0.split(separator: ",") }) {
            let parts = item.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased()
                .split(separator: "=", maxSplits: 1)
            guard parts.first == "wait" else { continue }
            guard parts.count == 2 else { return 60 }
            return Int(parts[1]).map { min(max($0, 1), 60) } ?? 60
        }
        return nil
    }
}

extension HTTPField.Name {
    fileprivate static let prefer = HTTPField.Name("prefer")!
}
