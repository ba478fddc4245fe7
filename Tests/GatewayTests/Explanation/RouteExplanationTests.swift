import ImageGeneration
import Testing

@testable import Gateway

@Suite struct RouteExplanationTests {
    private static let file = #"""
        {"upstreams": {
           "far": {"provider": "openai-images", "base_url": "https://api.example/v1", "api_key": {"env": "FAR_KEY"}, "model": "draw-2"},
           "near": {"provider": "queue", "preset": "stages", "base_url": "simulator:"}},
         "storage": {"images": {"disk": "pictures"}},
         "limits": {"few": [{"per": "ip", "requests": "10/min"}]},
         "route_defaults": {"auth": "public", "limits": ["few"], "upstreams": ["far", "near"], "unsupported": "drop"},
         "routes": [
           {"name": "images", "path": "/v1/images/generations", "dialect": "openai-images"},
           {"name": "edits", "path": "/v1/images/edits", "dialect": "openai-images", "operation": "edit", "upstreams": ["far"]},
           {"name": "change", "path": "/v1/edit", "dialect": "unified", "operation": "edit", "upstreams": ["far"]},
           {"name": "responses", "mount": "/v1/responses", "dialect": "openai-responses"},
           {"name": "replicate", "mount": "/replicate", "dialect": "replicate"},
           {"name": "talk", "path": "/chat", "dialect": "chat"},
           {"name": "fal", "mount": "/fal", "dialect": "fal-queue"},
           {"name": "plain", "path": "/v1/generate", "dialect": "unified"}]}
        """#

    private func explain(_ request: String, key: String? = "sk-very-secret") throws -> String {
        let environment = key.map { ["FAR_KEY": $0] } ?? [:]
        let loaded = ConfigurationFixture.load(Self.file, environment: environment, catalog: .current)
        return try RouteExplanation(request, table: try #require(loaded.table)).text
    }

    @Test func tellsRouteLimitsUpstreamAndTheVeryRequest() throws {
        let text = try self.explain(#"POST /v1/images/generations prompt="a lake at dusk" n=2 size=1024x1024"#)
        for line in [
            "route     images (openai-images, generate)", "access    public", "limits    few",
            "upstream  far, model draw-2",
            "after it  near",
            "POST https://api.example/v1/images/generations", "Authorization: Bearer ***",
            #""prompt":"a lake at dusk""#,
            #""n":2"#, #""model":"draw-2""#,
        ] {
            #expect(text.contains(line), "\(line) in \(text)")
        }
        #expect(!text.contains("very-secret"))
    }

    @Test(arguments: [
        "/v1/generate", "POST /chat", "/fal/fal-ai/flux", "/v1/images/generations n=1", "/v1/images/edits",
        "/v1/edit n=2",
        "/v1/responses", #"/v1/responses tools=[{"type":"image_generation","quality":"high"}]"#,
        "/replicate/predictions",
    ])
    func whatToDrawNeedNotBeSaid(request: String) throws {
        #expect(try self.explain(request).contains("a lake"))
    }

    @Test(
        arguments: [
            (
                #"/v1/responses input="a \"red\" lake" tools=[{"type": "image_generation", "size": "1024x1536"}]"#,
                [#""prompt":"a \"red\" lake""#, #""size":"1024x1536""#]
            ),
            (#"/v1/responses input=boats"#, [#""prompt":"boats""#]),
            (#"/v1/generate {"prompt": "two  words", "n": 2}"#, [#""prompt":"two  words""#, #""n":2"#]),
            (#"/replicate/predictions input={"prompt": "a { in } it"}"#, [#""prompt":"a { in } it""#]),
            (#"/v1/generate prompt=say"hi""#, [#""prompt":"say\"hi\"""#]),
            (#"/v1/generate prompt="7" user=b"#, [#""prompt":"7""#]),
        ] as [(String, [String])])
    func valuesMayBeJSON(_ request: String, _ parts: [String]) throws {
        let text = try self.explain(request)
        for part in parts { #expect(text.contains(part), "\(part) in \(text)") }
    }

    @Test func anUpstreamWithoutKeyIsPassedOver() throws {
        let text = try self.explain("/v1/generate negative_prompt=boats style=x", key: nil)
        #expect(text.contains("upstream  near"))
        #expect(text.contains("after it  far (unavailable: environment variable FAR_KEY is not set)"))
    }

    @Test(arguments: [
        ("", GatewayError.Code.invalidParameter), ("post /v1/generate", .invalidParameter),
        ("/v1/generate =x", .invalidParameter), ("/nowhere", .notFound), ("GET /v1/generate", .methodNotAllowed),
        ("/v1/generate n=x", .invalidParameter), ("/v1/generate x=[1", .invalidParameter),
        (#"/v1/generate {"prompt": "x"} n=1"#, .invalidParameter),
        (#"/v1/generate n=1 {"prompt": "x"}"#, .invalidParameter),
        (#"/v1/generate x="a"b"#, .invalidParameter), ("/v1/generate [1]", .invalidParameter),
        ("POST", .invalidParameter), ("GET /fal/a/b/requests/job_x/status", .invalidParameter),
    ])
    func otherTextIsRefused(request: String, code: GatewayError.Code) throws {
        let error = #expect(throws: GatewayError.self) { try self.explain(request) }
        #expect(error?.code == code)
    }
}
