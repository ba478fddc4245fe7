package import ImageGeneration
import StreamCodecs

/// OpenAI's Images API and what speaks it: `POST {base}/images/generations` and `{base}/images/edits`.
///
/// A stream is asked for only where previews are: some models and look-alikes answer nothing else than one JSON document.
/// Which of the two came is read from the response.
/// Look-alikes differ in points that ``OpenAIImagesPreset`` knows; that some answer with links, leave out event names or end with
/// `[DONE]` needs no preset.
/// See <https://platform.openai.com/docs/api-reference/images>.
package struct OpenAIImagesAdapter: RegisteredAdapter {
    package static let presets = OpenAIImagesPreset.names

    private let configuration: ProviderConfiguration
    package let capabilities: ProviderCapabilities

    package init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem) {
        var configuration = configuration
        if configuration.baseURL.isEmpty { configuration.baseURL = "https://api.openai.com/v1" }
        try configuration.validate()
        try configuration.checkPreset(among: OpenAIImagesPreset.names)
        self.configuration = configuration
        let preset = OpenAIImagesPreset(configuration)
        self.capabilities = ProviderCapabilities(
            operations: [.generate, .edit], previews: !preset.countsBySequence, maximumCount: 10,
            parameters: preset.parameters, sizes: preset.sizes,
            modelPrefixes: configuration.baseURL.hasPrefix(Self.openAI) ? Self.modelPrefixes : [])
    }

    private static let openAI = "https://api.openai.com/"
    private static let modelPrefixes = ["gpt-image-", "chatgpt-image-", "dall-e-"]

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        try self.capabilities.check(job.request, upstream: self.configuration.name)
        let body = OpenAIImagesRequestBody(request: job.request, configuration: self.configuration)
        return OpenAIImagesExchange(
            call: try body.call(entropy: job.entropy), body: body)
    }
}
