import HTTPTypes
import Testing

@testable import Simulator

@Suite struct EndpointTests {
    private static let matches: [(HTTPRequest.Method, String, Endpoint.Match)] = [
        (.get, "/", .found(.index, prefix: "")),
        (.get, "/healthz", .found(.health, prefix: "")),
        (.head, "/healthz", .found(.health, prefix: "")),
        (.post, "/v1/images/generations", .found(.generations, prefix: "/v1")),
        (.post, "/images/generations", .found(.generations, prefix: "")),
        (.post, "/openai/v1/images/edits", .found(.edits, prefix: "/openai/v1")),
        (.post, "/api/v1/images/generate", .found(.submit, prefix: "/api/v1/images")),
        (.post, "/generate", .found(.submit, prefix: "")),
        (.post, "/api/v1/images/generate/stream", .found(.submitStream, prefix: "/api/v1/images")),
        (.get, "/api/v1/images/jobs/x", .found(.job("x"), prefix: "/api/v1/images")),
        (.delete, "/jobs/x", .found(.cancelJob("x"), prefix: "")),
        (.get, "/a/jobs/x/events", .found(.jobEvents("x"), prefix: "/a")),
        (.post, "/a/jobs/x/cancel", .found(.cancelJob("x"), prefix: "/a")),
        (.get, "/a/images/images/y.png", .found(.image("y"), prefix: "/a/images")),
        (.post, "/v1/responses", .found(.responses, prefix: "/v1")),
        (.get, "/v1/responses/resp_1", .found(.response("resp_1"), prefix: "/v1")),
        (.post, "/v1/responses/resp_1/cancel", .found(.cancelResponse("resp_1"), prefix: "/v1")),
        (
            .post, "/v1beta/models/m:streamGenerateContent",
            .found(.gemini(model: "m", .stream), prefix: "/v1beta")
        ),
        (.post, "/v1beta/models/a%2Fb%3Apredict", .found(.gemini(model: "a/b", .predict), prefix: "/v1beta")),
        (.post, "/sdapi/v1/txt2img", .found(.webUI(.txt2img), prefix: "")),
        (.get, "/sdapi/v1/progress", .found(.webUI(.progress), prefix: "")),
        (.post, "/internal/progress", .found(.webUI(.taskProgress), prefix: "")),
        (.post, "/v2beta/stable-image/generate/core", .found(.stability(edit: false), prefix: "/v2beta")),
        (.post, "/v1beta/models/m:embedContent", .notFound),
        (.get, "/v1/images/generations", .methodNotAllowed(allow: "POST")),
        (.put, "/jobs/x", .methodNotAllowed(allow: "GET, DELETE")),
        (.get, "/nowhere", .notFound),
        (.get, "", .notFound),
        (.get, "/jobs/", .notFound),
        (.get, "/images/y.jpg", .notFound),
    ]

    @Test(arguments: matches)
    func pathsAreKnownByTheirEnd(method: HTTPRequest.Method, path: String, expected: Endpoint.Match) {
        #expect(Endpoint.match(method: method, path: path) == expected)
    }

    @Test(arguments: [
        ("a%20b", "a b"), ("a+b", "a b"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%E2%82%AC", "€"),
        ("%ff", "\u{FFFD}"),
    ])
    func queriesAreDecoded(text: String, expected: String) {
        #expect(PercentEncoding.decode(text) == expected)
    }
}
