package import HTTPTypes
package import ImageGeneration
package import StreamCodecs

/// One configured upstream of one API family. Immutable; makes an exchange for each job.
package protocol ProviderAdapter: Sendable {
    var capabilities: ProviderCapabilities { get }

    /// Writes the upstream's requests from the unified request.
    /// - Throws: `unsupported_parameter` where the request asks what the upstream cannot do.
    func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange

    /// An exchange that goes on with a job which an earlier one submitted, in this process or one before: it begins
    /// with following the upstream's work and never submits. Standings that were told before may be told again.
    /// - Parameter handle: what ``UpstreamEvent/handle(_:)`` said, and all that is left of the earlier exchange.
    /// - Returns: Nil where the provider cannot pick jobs up (the default), or this handle is not one of its own.
    func makeExchange(
        resuming handle: String, for job: ExchangeJob
    ) throws(GatewayError) -> (any ProviderExchange)?
}

extension ProviderAdapter {
    package func makeExchange(
        resuming handle: String, for job: ExchangeJob
    ) throws(GatewayError) -> (any ProviderExchange)? {
        nil
    }
}

/// What an exchange may know of its job.
package struct ExchangeJob: Sendable {
    package let id: JobID
    package let request: ImageRequest
    /// Randomness for multipart boundaries and the like, so that an exchange stays deterministic.
    package let entropy: UInt64

    package init(id: JobID, request: ImageRequest, entropy: UInt64) {
        self.id = id
        self.request = request
        self.entropy = entropy
    }
}

package struct ProviderCapabilities: Sendable {
    package var operations: Set<ImageRequest.Operation>
    /// Shows previews when asked.
    package var previews: Bool
    /// Pictures one exchange can bring.
    package var maximumCount: Int
    /// Names of the unified request's optional fields that the upstream understands: `negative_prompt`, `size`, `seed`, …,
    /// and of extensions. The gateway drops or refuses the others before it asks for an exchange.
    package var parameters: Set<String>
    /// Which wishes for a picture it can follow. Default: a picture always.
    package var pictureWishes: Set<ImageRequest.PictureWish>
    /// The sizes it draws for certain; empty: any. Where a route says `"unsupported": "nearest"`, others become the nearest.
    package var sizes: [AspectRatio]
    /// How the names of its models begin; empty: any. Where a route says `"unsupported": "nearest"`, others are left out.
    package var modelPrefixes: [String]
    /// Tells handles by which a job can be picked up after a restart. Default false.
    package var resumable: Bool

    package init(
        operations: Set<ImageRequest.Operation>, previews: Bool, maximumCount: Int, parameters: Set<String>,
        pictureWishes: Set<ImageRequest.PictureWish> = [.always], sizes: [AspectRatio] = [],
        modelPrefixes: [String] = [], resumable: Bool = false
    ) {
        self.operations = operations
        self.previews = previews
        self.maximumCount = maximumCount
        self.parameters = parameters
        self.pictureWishes = pictureWishes
        self.sizes = sizes
        self.modelPrefixes = modelPrefixes
        self.resumable = resumable
    }

    /// Fields the request sets and the upstream does not understand, in the unified spelling, sorted.
    ///
    /// Never among them: `partial_images`, since fewer previews than asked for, or none, are within every API's promise; and
    /// `auto`, which leaves the choice to the upstream.
    package func unsupportedParameters(in request: ImageRequest) -> [String] {
        (request.setParameters + request.extensions.keys).filter { !self.parameters.contains($0) }.sorted()
    }
}

extension ImageRequest {
    /// Names of the optional fields that ask something of the upstream, without extensions.
    package var setParameters: [String] {
        let fields: [(name: String, isSet: Bool)] = [
            ("negative_prompt", self.negativePrompt != nil), ("n", self.count > 1),
            ("size", self.size != nil && self.size != .named("auto")),
            ("quality", self.quality != nil && self.quality != "auto"), ("output_format", self.outputFormat != nil),
            ("output_compression", self.outputCompression != nil),
            ("background", self.background != nil && self.background != "auto"),
            ("style", self.style != nil), ("seed", self.seed != nil),
            ("images", !self.images.isEmpty),
            ("mask", self.mask != nil), ("user", self.user != nil),
        ]
        return fields.filter(\.isSet).map(\.name)
    }
}

/// What every provider is configured with, from an entry of `upstreams` in `routes.json`.
package struct ProviderConfiguration: Sendable {
    /// The entry's name.
    package var name: String
    /// Without a trailing slash.
    package var baseURL: String
    /// Nil where the upstream needs none.
    package var apiKey: String?
    /// Sent instead of the client's model name.
    package var model: String?
    /// Bytes of one upstream event or JSON answer. Default 64 MiB.
    package var maximumEventBytes: Int
    package var preset: String?
    /// Provider-specific members. For `queue` and `sync`: a definition, or members that replace those of the preset.
    package var definition: JSONNode?
    /// Sent with every call to the API; never holds the key.
    package var headers: HTTPFields
    /// Appended to the URL of every call to the API.
    package var query: [(name: String, value: String)]
    /// Hands work over as background responses, which outlive their connection. For `openai-responses`.
    package var background: Bool

    package init(
        name: String, baseURL: String, apiKey: String? = nil, model: String? = nil,
        maximumEventBytes: Int = 64 << 20, preset: String? = nil, definition: JSONNode? = nil,
        headers: HTTPFields = [:], query: [(name: String, value: String)] = [], background: Bool = false
    ) {
        self.name = name
        self.baseURL = baseURL
        self.apiKey = apiKey
        self.model = model
        self.maximumEventBytes = maximumEventBytes
        self.preset = preset
        self.definition = definition
        self.headers = headers
        self.query = query
        self.background = background
    }
}

/// Why an entry of `upstreams` cannot be used as its provider.
package struct ProviderConfigurationProblem: Error, Sendable {
    /// The key of the entry at fault.
    package let key: String
    package let message: String

    package init(key: String, message: String) {
        self.key = key
        self.message = message
    }
}
