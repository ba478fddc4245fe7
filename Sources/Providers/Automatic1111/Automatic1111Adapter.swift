import HTTPTypes
package import ImageGeneration
import NIOCore
import StreamCodecs

/// AUTOMATIC1111's web UI, Forge and SD.Next: `POST {base}/sdapi/v1/txt2img` and `img2img`, which block, beside `progress`.
///
/// `api_key` is `user:password`, as given to the server's `--api-auth`.
package struct Automatic1111Adapter: RegisteredAdapter {
    private let configuration: ProviderConfiguration
    private let secret: String?

    package init(_ configuration: ProviderConfiguration) throws(ProviderConfigurationProblem) {
        try configuration.validate()
        var configuration = configuration
        self.secret = configuration.apiKey
        if let key = configuration.apiKey.take() {
            configuration.headers[.authorization] = "Basic " + String(buffer: Base64.encode(ByteBuffer(string: key)))
        }
        self.configuration = configuration
    }

    package var capabilities: ProviderCapabilities {
        ProviderCapabilities(
            operations: [.generate, .edit], previews: true, maximumCount: 8,
            parameters: Automatic1111RequestBody.parameters)
    }

    package func makeExchange(for job: ExchangeJob) throws(GatewayError) -> any ProviderExchange {
        try self.capabilities.check(job.request, upstream: self.configuration.name)
        let writer = Automatic1111RequestBody(
            request: job.request, model: self.configuration.model ?? job.request.model,
            taskID: "\(job.id.text)-\(String(job.entropy, radix: 36))")
        return try Automatic1111Exchange(
            job: job, writer: writer, configuration: self.configuration, secret: self.secret)
    }
}
