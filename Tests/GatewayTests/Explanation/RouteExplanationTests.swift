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

    @Test(arguments: ["/v1/generate", "POST /chat", "/fal/fal-ai/flux", "/v1/images/generations n=1"])
    func whatToDrawNeedNotBeSaid(request: String) throws {
        #expect(try self.explain(request).contains("a lake"))
    }

    @Test func anUpstreamWithoutKeyIsPassedOver() throws {
        let text = try self.explain("/v1/generate negative_prompt=boats style=x", key: nil)
        #expect(text.contains("upstream  near"))
        #expect(text.contains("after it  far (unavailable: environment variable FAR_KEY is not set)"))
    }

    @Test(arguments: [
        ("", GatewayError.Code.invalidParameter), ("post /v1/generate", .invalidParameter),
        ("/v1/generate =x", .invalidParameter), ("/nowhere", .notFound), ("GET /v1/generate", .methodNotAllowed),
        ("/v1/generate n=x", .invalidParameter), ("GET /fal/a/b/requests/job_x/status", .invalidParameter),
    ])
    func otherTextIsRefused(request: String, code: GatewayError.Code) throws {
        let error = #expect(throws: GatewayError.self) { try self.explain(request) }
        #expect(error?.code == code)
    }
}
