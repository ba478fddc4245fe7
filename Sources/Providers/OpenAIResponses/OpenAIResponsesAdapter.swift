package import ImageGeneration
import StreamCodecs

/// OpenAI's Responses API with the `image_generation` tool, and what speaks it: `POST {base}/responses`, always streamed.
///
/// With `background` the response lives at the service: a broken stream is taken up where it stood, a restart of the gateway picks
/// the job up by its id, and a cancel is told. Without it the connection is all there is.
/// See <https://platform.openai.com/docs/api-reference/responses>.
package struct OpenAIResponsesAdapter: RegisteredAdapter {
    /// `azure`: the key goes into `api-key`.
    package static let presets = ["azure"]

    private let configuration: ProviderConfiguration

    package init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem) {
        var configuration = configuration
        if configuration.baseURL.isEmpty { configuration.baseURL = "https://api.openai.com/v1" }
        try configuration.validate()
        try configuration.checkPreset(among: Self.presets)
        self.configuration = configuration
    }

    package var capabilities: ProviderCapabilities {
        ProviderCapabilities(
            operations: [.generate, .edit], previews: true, maximumCount: 1,
            parameters: Set(OpenAIResponsesRequestBody.toolParameters + ["images", "user"]),
            pictureWishes: Set(ImageRequest.PictureWish.allCases),
            resumable: self.configuration.background)
    }

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        try self.capabilities.check(job.request, upstream: self.configuration.name)
        return OpenAIResponsesExchange(job: job, configuration: self.configuration)
    }

    package func makeExchange(
        resuming handle: String, for job: ExchangeJob
    ) throws(GatewayError) -> (any ProviderExchange)? {
        OpenAIResponsesHandle(handle).map {
            OpenAIResponsesExchange(resuming: $0, job: job, configuration: self.configuration)
        }
    }
}
