package import Dialects
package import Providers

/// What this release can do, as far as `routes.json` can ask for it, and what it knows only by name.
package struct ConfigurationCatalog: Sendable {
    package var dialects: [DialectEntry]
    package var providers: [ProviderEntry]
    /// Presets of the `queue` provider.
    package var presets: [PresetEntry]
    /// Presets of the other providers that have any; only `sync` needs one.
    package var providerPresets: [String: [String]]
    /// Providers whose upstream side the simulator speaks.
    package var simulated: Set<String>
    /// Where it speaks some presets of a provider only.
    package var simulatedPresets: [String: [String]]
    /// Names that are right but not available yet.
    package var laterDialects: [String]
    package var laterProviders: [String]
    package var laterPresets: [String]

    package struct DialectEntry: Sendable {
        package let name: String
        package let traits: DialectTraits
        package let endpoints: [DialectEndpoint]

        package init(name: String, traits: DialectTraits, endpoints: [DialectEndpoint]) {
            self.name = name
            self.traits = traits
            self.endpoints = endpoints
        }

        /// Whether its calls lie below a mount; else they are one path.
        var isMounted: Bool { self.endpoints.contains { !$0.subpath.isEmpty } }
    }

    package struct ProviderEntry: Sendable {
        package let name: String
        /// What an upstream so configured can do, or why it cannot be.
        package let inspect:
            @Sendable (ProviderConfiguration) -> Result<ProviderCapabilities, ProviderConfigurationProblem>

        package init(
            name: String,
            inspect:
                @escaping @Sendable (ProviderConfiguration) -> Result<
                    ProviderCapabilities, ProviderConfigurationProblem
                >
        ) {
            self.name = name
            self.inspect = inspect
        }
    }

    package struct PresetEntry: Sendable {
        package let name: String
        /// Root of the service's API; nil where an upstream must say.
        package let baseURL: String?
        /// Where its pictures lie besides.
        package let resultHosts: [HostPattern]

        package init(name: String, baseURL: String? = nil, resultHosts: [HostPattern] = []) {
            self.name = name
            self.baseURL = baseURL
            self.resultHosts = resultHosts
        }
    }

    package init(
        dialects: [DialectEntry], providers: [ProviderEntry], presets: [PresetEntry], simulated: Set<String>,
        laterDialects: [String], laterProviders: [String], laterPresets: [String],
        providerPresets: [String: [String]] = [:], simulatedPresets: [String: [String]] = [:]
    ) {
        self.dialects = dialects
        self.providers = providers
        self.presets = presets
        self.simulated = simulated
        self.laterDialects = laterDialects
        self.laterProviders = laterProviders
        self.laterPresets = laterPresets
        self.providerPresets = providerPresets
        self.simulatedPresets = simulatedPresets
    }

    /// Everything the registries hold.
    package static let current = ConfigurationCatalog(
        dialects: DialectRegistry.dialects.map {
            DialectEntry(name: $0.name, traits: $0.traits, endpoints: $0.endpoints)
        },
        providers: ProviderRegistry.providers.map { provider in
            ProviderEntry(name: provider.name) { configuration in
                do throws(ProviderConfigurationProblem) {
                    return .success(try provider.make(configuration).capabilities)
                } catch {
                    return .failure(error)
                }
            }
        },
        presets: QueuePreset.all.map {
            PresetEntry(
                name: $0.name, baseURL: $0.baseURL, resultHosts: $0.resultHosts.compactMap { HostPattern($0) })
        },
        simulated: ["openai-images", "openai-responses", "automatic1111", "gemini", "sync", "queue"],
        laterDialects: [],
        laterProviders: ["comfyui"],
        laterPresets: [],
        providerPresets: Dictionary(uniqueKeysWithValues: ProviderRegistry.providers.map { ($0.name, $0.presets) }),
        simulatedPresets: [
            "openai-images": ["azure", "compatible"], "gemini": [], "sync": ["openai", "stability", "imagen"],
        ])

    func dialect(named name: String) -> DialectEntry? { self.dialects.first { $0.name == name } }
    func preset(named name: String) -> PresetEntry? { self.presets.first { $0.name == name } }
    func provider(named name: String) -> ProviderEntry? { self.providers.first { $0.name == name } }
}
