import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// Any service that answers a request with its pictures; which one is a ``SyncDefinition``.
package struct SyncAdapter: RegisteredAdapter {
    /// Definitions that come with the gateway.
    package static var presets: [String] { (SyncPresets.all?.members ?? []).map(\.key) }

    private let configuration: ProviderConfiguration
    private let definition: SyncDefinition

    /// The definition is the preset's, the configuration's own, or the preset's with members replaced.
    package init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem) {
        try configuration.validate()
        self.configuration = configuration
        var layers: [JSONNode] = []
        if let own = configuration.definition { layers.append(own) }
        if let preset = configuration.preset {
            guard let known = SyncPresets.all?[preset] else {
                throw ProviderConfigurationProblem(
                    key: "preset", message: "expected one of \(Self.presets.joined(separator: ", "))")
            }
            layers.append(known)
        }
        guard !layers.isEmpty else {
            throw ProviderConfigurationProblem(
                key: "preset",
                message: "expected one of \(Self.presets.joined(separator: ", ")), or a definition")
        }
        self.definition = try SyncDefinition(layers: layers)
    }

    package var capabilities: ProviderCapabilities {
        ProviderCapabilities(
            operations: self.definition.operations, previews: false, maximumCount: self.definition.maximumCount,
            parameters: self.definition.parameters)
    }

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        try self.capabilities.check(job.request, upstream: self.configuration.name)
        let model = self.configuration.model ?? job.request.model
        guard let template = self.definition.call(for: job.request.operation) else {
            throw GatewayError(.unsupportedParameter, "The upstream does not do this.", parameter: "operation")
        }
        let values = QueueCallTemplate.Values(base: self.configuration.baseURL, model: model)
        guard let url = template.request.url(values) else {
            throw GatewayError(.invalidParameter, "A model must be named here.", parameter: "model")
        }
        var call = ExchangeCall(
            method: template.request.method,
            url: QueueURL.extended(url, by: "", query: ProviderConfiguration.encoded(self.configuration.query)),
            headers: self.configuration.headers, purpose: .submit)
        for field in template.request.headers { call.headers[field.name] = field.value }
        if let header = self.definition.key, let key = self.configuration.apiKey {
            call.headers[header.name] = header.prefix + key
        }
        call.headers[.accept] = template.accept
        call.worksInSilence = true
        try Self.write(template, job, model: model, into: &call)
        return SyncExchange(
            call: call, job: job, definition: self.definition, configuration: self.configuration,
            parameters: template.body.parameters)
    }

    private static func write(
        _ template: SyncDefinition.Call, _ job: ExchangeJob, model: String?, into call: inout ExchangeCall
    ) throws(GatewayError) {
        let source = QueueTemplate.Source(request: job.request, model: model)
        switch template.encoding {
        case .json:
            call.headers[.contentType] = "application/json"
            call.body = template.body.json(source)
        case .form:
            // A form holds pictures, not their addresses.
            for (image, parameter) in job.request.images.map({ ($0, "images") })
                + [job.request.mask].compactMap(\.self).map({ ($0, "mask") }) where image.isReference
            {
                throw GatewayError(
                    .unsupportedParameter, "This upstream takes pictures only with the request, not by reference.",
                    parameter: parameter)
            }
            let form = try template.body.form(source, entropy: job.entropy)
            call.headers[.contentType] = form.contentType
            call.body = form.pieces
        }
    }
}

enum SyncPresets {
    /// An object of definitions by name. The file is part of the program, and a test reads every one of it.
    static let all = try? JSONDocument(ByteBuffer(bytes: PackageResources.sync_json)).root
}
