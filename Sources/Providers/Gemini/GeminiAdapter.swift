import HTTPTypes
package import ImageGeneration
import StreamCodecs

/// Google's Gemini API: `POST {base}/models/{model}:streamGenerateContent?alt=sse`, always streamed.
/// See <https://ai.google.dev/api/generate-content>.
package struct GeminiAdapter: RegisteredAdapter {
    /// `interactions`: the newer `POST {base}/interactions`, of which only prompt and pictures are told.
    package static let presets = ["interactions"]

    private let configuration: ProviderConfiguration

    package init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem) {
        var configuration = configuration
        if configuration.baseURL.isEmpty {
            configuration.baseURL = "https://generativelanguage.googleapis.com/v1beta"
        }
        try configuration.validate()
        try configuration.checkPreset(among: Self.presets)
        self.configuration = configuration
    }

    package var capabilities: ProviderCapabilities {
        ProviderCapabilities(
            operations: [.generate, .edit], previews: true, maximumCount: 1,
            parameters: self.isInteraction ? ["images"] : ["size", "quality", "seed", "images"])
    }

    private var isInteraction: Bool { self.configuration.preset == "interactions" }

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        try self.capabilities.check(job.request, upstream: self.configuration.name)
        guard let model = self.configuration.model ?? job.request.model, !model.isEmpty else {
            throw GatewayError(.invalidParameter, "A model must be named here.", parameter: "model")
        }
        let writer = GeminiRequestBody(request: job.request)
        let path = "/models/\(QueueURL.encoded(model, keeping: "-._~")):streamGenerateContent"
        var call =
            self.isInteraction
            ? self.configuration.call(.post, "/interactions", .submit, key: .google)
            : self.configuration.call(.post, path, .submit, key: .google, query: [("alt", "sse")])
        call.headers[.accept] = "text/event-stream, application/json"
        call.headers[.contentType] = "application/json"
        call.body = self.isInteraction ? writer.interaction(model: model) : writer.pieces()
        return GeminiExchange(call: call, job: job, configuration: self.configuration)
    }
}
