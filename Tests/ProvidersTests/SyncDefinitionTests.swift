import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Providers

@Suite struct SyncDefinitionTests {
    @Test(
        arguments: [
            (#"{"nope":1}"#, "definition.nope"), (#"{"generate":null,"edit":null}"#, "definition.generate"),
            (#"{"generate":{}}"#, "definition.generate.request"),
            (#"{"generate":{"request":{"url":"{base}/x"}}}"#, "definition.generate.body"),
            (#"{"generate":{"request":{"url":"https://evil.example"},"body":{}}}"#, "definition.generate.request.url"),
            (#"{"generate":{"request":{"url":"{base}/{job_id}"},"body":{}}}"#, "definition.generate.request.url"),
            (#"{"generate":{"request":{"url":"{base}/x"},"body":[],"encoding":"form"}}"#, "definition.generate.body"),
            (
                #"{"generate":{"request":{"url":"{base}/x"},"body":{},"encoding":"xml"}}"#,
                "definition.generate.encoding"
            ),
            (#"{"generate":{"request":{"url":"{base}/x"},"body":{"a":"$b"}}}"#, "definition.generate.body.a"),
            (#"{"images":[{}]}"#, "definition.images"), (#"{"refused":[{}]}"#, "definition.refused.path"),
            (#"{"refused":[{"path":"a","is":1}]}"#, "definition.refused.is"),
            (#"{"refused_headers":{"a b":"c"}}"#, "definition.refused_headers"),
            (#"{"empty_means":"success"}"#, "definition.empty_means"),
            (#"{"key":{"header":"a b"}}"#, "definition.key.header"),
            (#"{"maximum_count":99}"#, "definition.maximum_count"), (#"{"maximum_count":2}"#, nil),
        ] as [(String, String?)])
    func problemsNameTheMember(_ json: String, _ member: String?) throws {
        let definition = try JSONDocument(ByteBuffer(string: json)).root
        let configuration = ProviderConfiguration(
            name: "u", baseURL: "https://a", preset: "stability", definition: definition)
        do throws(ProviderConfigurationProblem) {
            _ = try SyncAdapter(configuration)
            #expect(member == nil)
        } catch {
            #expect(error.key == member, "\(error.message)")
        }
    }

    @Test func presetsAreNeededAndKnown() {
        for preset in [nil, "nope"] {
            #expect(throws: ProviderConfigurationProblem.self) {
                try SyncAdapter(ProviderConfiguration(name: "u", baseURL: "https://a", preset: preset))
            }
        }
        for make in [OpenAIImagesAdapter.presets, OpenAIResponsesAdapter.presets] { #expect(!make.isEmpty) }
        #expect(throws: ProviderConfigurationProblem.self) {
            try OpenAIImagesAdapter(ProviderConfiguration(name: "u", baseURL: "https://a", preset: "nope"))
        }
    }

    @Test func picturesByReferenceHaveNoPlaceInAForm() throws {
        let adapter = try SyncAdapter(ProviderConfiguration(name: "u", baseURL: "https://a", preset: "stability"))
        var request = ImageRequest(operation: .edit, prompt: "p")
        request.images = [InputImage(content: .url("https://img.example/a.png"))]
        let job = ExchangeJob(id: JobID(high: 1, low: 2), request: request, entropy: 1)
        let error = #expect(throws: GatewayError.self) { try adapter.makeExchange(for: job) }
        #expect(error?.code == .unsupportedParameter && error?.parameter == "images")
    }

    @Test func modelsAreNeededWhereTheURLNamesThem() throws {
        for (provider, preset) in [("sync", "stability"), ("gemini", nil)] {
            let make = try #require(ProviderRegistry.factory(named: provider))
            let adapter = try make(ProviderConfiguration(name: "u", baseURL: "https://a", preset: preset))
            let job = ExchangeJob(
                id: JobID(high: 1, low: 2), request: ImageRequest(operation: .generate, prompt: "p"), entropy: 1)
            let error = #expect(throws: GatewayError.self) { try adapter.makeExchange(for: job) }
            #expect(error?.parameter == "model")
        }
    }
}
