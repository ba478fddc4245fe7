/// The single list of upstream API families: the name in `routes.json` and what makes an adapter of it.
package enum ProviderRegistry {
    package typealias Factory =
        @Sendable (ProviderConfiguration) throws(ProviderConfigurationProblem) -> any ProviderAdapter

    package static let providers: [(name: String, make: Factory)] = [
        (
            "openai-images",
            { configuration throws(ProviderConfigurationProblem) in try OpenAIImagesAdapter(configuration) }
        ),
        (
            "openai-responses",
            { configuration throws(ProviderConfigurationProblem) in try OpenAIResponsesAdapter(configuration) }
        ),
        (
            "automatic1111",
            { configuration throws(ProviderConfigurationProblem) in try Automatic1111Adapter(configuration) }
        ),
        ("gemini", { configuration throws(ProviderConfigurationProblem) in try GeminiAdapter(configuration) }),
        ("sync", { configuration throws(ProviderConfigurationProblem) in try SyncAdapter(configuration) }),
        ("queue", { configuration throws(ProviderConfigurationProblem) in try QueueAdapter(configuration) }),
    ]

    package static func factory(named name: String) -> Factory? {
        self.providers.first { $0.name == name }?.make
    }
}
