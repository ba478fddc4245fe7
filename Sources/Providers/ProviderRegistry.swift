/// The single list of upstream API families. A new one is a folder beside the others and a line here.
package enum ProviderRegistry {
    package typealias Factory =
        @Sendable (ProviderConfiguration) throws(ProviderConfigurationProblem) -> any ProviderAdapter

    package struct Entry: Sendable {
        /// In `routes.json`.
        package let name: String
        /// Values of `preset` that the family knows by itself; those of `queue` are data (``QueuePreset``).
        package let presets: [String]
        package let make: Factory

        init<Adapter: RegisteredAdapter>(_ name: String, _ adapter: Adapter.Type) {
            self.name = name
            self.presets = adapter.presets
            self.make = { configuration throws(ProviderConfigurationProblem) in try Adapter(configuration) }
        }
    }

    package static let providers = [
        Entry("openai-images", OpenAIImagesAdapter.self),
        Entry("openai-responses", OpenAIResponsesAdapter.self),
        Entry("automatic1111", Automatic1111Adapter.self),
        Entry("gemini", GeminiAdapter.self),
        Entry("sync", SyncAdapter.self),
        Entry("queue", QueueAdapter.self),
    ]

    package static func factory(named name: String) -> Factory? {
        self.providers.first { $0.name == name }?.make
    }
}

/// An adapter that `routes.json` can name.
package protocol RegisteredAdapter: ProviderAdapter {
    /// Default none.
    static var presets: [String] { get }

    init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem)
}

extension RegisteredAdapter {
    package static var presets: [String] { [] }
}
