import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Any service that takes a job, tells how it stands and names what came of it; which one is a ``QueueDefinition``.
package struct QueueAdapter: RegisteredAdapter {
    private let configuration: ProviderConfiguration
    private let definition: QueueDefinition

    /// The definition is the preset's, the configuration's own, or the preset's with members replaced.
    package init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem) {
        try configuration.validate()
        self.configuration = configuration
        var layers: [JSONNode] = []
        if let own = configuration.definition { layers.append(own) }
        if let name = configuration.preset {
            guard let preset = QueuePreset.named(name) else {
                throw ProviderConfigurationProblem(key: "preset", message: "expected one of \(QueuePreset.choice)")
            }
            layers.append(preset.definition)
        }
        guard !layers.isEmpty else {
            throw ProviderConfigurationProblem(
                key: "preset", message: "expected one of \(QueuePreset.choice), or a definition")
        }
        self.definition = try QueueDefinition(layers: layers)
    }

    package var capabilities: ProviderCapabilities {
        var parameters = self.definition.body.unifiedNames
        parameters.subtract(["prompt", "model"])
        return ProviderCapabilities(
            operations: self.definition.operations, previews: self.definition.namedEvents.values.contains(.preview),
            maximumCount: self.definition.maximumCount, parameters: parameters, resumable: true)
    }

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        try self.capabilities.check(job.request, upstream: self.configuration.name)
        return try QueueExchange(job: job, definition: self.definition, configuration: self.configuration)
    }

    /// Capabilities are not asked again: the upstream has taken the request already.
    package func makeExchange(
        resuming handle: String, for job: ExchangeJob
    ) throws(GatewayError) -> (any ProviderExchange)? {
        QueueHandle(handle, definition: self.definition, base: self.configuration.baseURL).map {
            QueueExchange(resuming: $0, job: job, definition: self.definition, configuration: self.configuration)
        }
    }
}
