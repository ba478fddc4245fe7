import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

@testable import Gateway

@Suite struct EndpointMatchTests {
    private static func table(_ routes: String...) throws -> RouteTable {
        let more = #", "storage": {"images": {"disk": "pictures"}}"#
        let loaded = ConfigurationFixture.load(
            ConfigurationFixture.file(routes: routes, more: more), catalog: .current)
        return try #require(loaded.table, "\(loaded.lines)")
    }

    private static let usual = [
        #"{"path": "/v1/generate", "dialect": "unified"}"#,
        #"{"path": "/v1/images/generations", "dialect": "openai-images"}"#,
        #"{"mount": "/api/v1/images", "dialect": "stages"}"#,
    ]

    private static func word(_ lookup: EndpointMatch.Lookup) -> String {
        switch lookup {
        case .found(let match): "\(match.endpoint.action) \(match.id ?? "-")"
        case .wrongMethod(_, let allowed): "405 " + allowed.map(\.rawValue).joined(separator: ",")
        case .unknown: "404"
        }
    }

    @Test(arguments: [
        (HTTPRequest.Method.post, "/v1/generate", "create -"), (.get, "/v1/generate", "405 POST"),
        (.head, "/v1/generate", "405 POST"), (.options, "/v1/generate", "405 POST"),
        (.post, "/v1/generate/", "404"), (.post, "/v1/generat", "404"), (.post, "/V1/generate", "404"),
        (.post, "//v1/generate", "404"), (.post, "/v1/generate%20", "404"), (.post, "", "404"), (.post, "/", "404"),
        (.post, "/api/v1/images/generate", "submit -"), (.post, "/api/v1/images/generate/stream", "createStreaming -"),
        (.get, "/api/v1/images/jobs/abc", "snapshot abc"), (.head, "/api/v1/images/jobs/abc", "snapshot abc"),
        (.put, "/api/v1/images/jobs", "405 GET,HEAD"), (.get, "/api/v1/images/jobs/", "404"),
        (.get, "/api/v1/images/jobs/a/b", "404"), (.get, "/api/v1/images/", "404"), (.get, "/api/v1/images", "404"),
        (.post, "/api/v1/imagesgenerate", "404"), (.post, "/api/v1/images//generate", "404"),
    ]) func find(_ method: HTTPRequest.Method, _ path: String, _ expected: String) throws {
        let table = try Self.table(Self.usual[0], Self.usual[1], Self.usual[2])
        #expect(Self.word(EndpointMatch.find(method, path: path, in: table)) == expected)
    }

    @Test(arguments: [
        (HTTPRequest.Method.post, "/fal/flux", "create - flux"),
        (.post, "/fal/fal-ai/flux/dev", "create - fal-ai/flux/dev"),
        (.get, "/fal/fal-ai/flux/requests/1", "answer 1 fal-ai/flux"),
        (.get, "/fal/a/requests/b/status", "answer b a"), (.get, "/fal/a/requests/b/status/stream", "stream b a"),
        (.put, "/fal/a/requests/b/cancel", "cancel b a"), (.head, "/fal/a/requests/b", "answer b a"),
        // A path that means a request creates none, whatever the method.
        (.post, "/fal/a/requests/b", "405 GET,HEAD"), (.post, "/fal/a/requests/b/status", "405 GET,HEAD"),
        (.post, "/fal/a/requests/b/cancel", "405 PUT"), (.get, "/fal/a/b", "405 POST"),
        (.get, "/fal/requests/b", "405 POST"), (.get, "/fal/a/requests/requests/b", "answer b a/requests"),
        (.post, "/fal//flux", "404"), (.post, "/fal/", "404"), (.post, "/fal/flux/", "404"), (.post, "/fal", "404"),
        (.post, "/r/predictions", "create - -"), (.get, "/r/predictions", "list - -"),
        (.post, "/r/models/o/m/predictions", "create - m"), (.get, "/r/models/o/m", "describe - m"),
        (.get, "/r/models/o/m/versions/v", "describe - m"), (.get, "/r/models/o", "404"),
        (.post, "/r/predictions/1/cancel", "cancel 1 -"), (.delete, "/r/predictions/1", "405 GET,HEAD"),
        (.post, "/responses", "create - -"), (.get, "/responses/1", "answer 1 -"), (.post, "/responses/", "create - -"),
        (.get, "/responses", "405 POST"), (.post, "/responses/1/cancel", "cancel 1 -"),
    ]) func manyPaths(_ method: HTTPRequest.Method, _ path: String, _ expected: String) throws {
        let table = try Self.table(
            #"{"mount": "/fal", "dialect": "fal-queue"}"#, #"{"mount": "/r", "dialect": "replicate"}"#,
            #"{"mount": "/responses", "dialect": "openai-responses"}"#)
        let lookup = EndpointMatch.find(method, path: path, in: table)
        if case .found(let match) = lookup {
            #expect("\(match.endpoint.action) \(match.id ?? "-") \(match.parameters["model"] ?? "-")" == expected)
        } else {
            #expect(Self.word(lookup) == expected)
        }
    }

    @Test(
        arguments: [
            ("a", "{x}", ["x": "a"]), ("a/b", "{x}", nil), ("", "{x}", nil), ("a/b", "{x...}", ["x": "a/b"]),
            ("a/b/c", "{x...}/c", ["x": "a/b"]), ("c", "{x...}/c", nil), ("a/b/c", "a/{x...}", ["x": "b/c"]),
            ("a//c", "a/{x...}", nil), ("a/b/c/d", "a/{x...}/{y}", ["x": "b/c", "y": "d"]), ("a", "a", [:]),
        ] as [(String, String, [String: String]?)])
    func templates(_ subpath: String, _ template: String, _ expected: [String: String]?) {
        #expect(EndpointMatch.match(subpath, template: template) == expected)
    }

    private static func found(_ method: HTTPRequest.Method, _ path: String, _ route: String) throws -> EndpointMatch {
        guard case .found(let match) = EndpointMatch.find(method, path: path, in: try self.table(route)) else {
            throw GatewayError(.notFound, path)
        }
        return match
    }

    @Test(arguments: [
        ("auto", nil, nil, ResponseMode.wait), ("auto", ResponseMode.stream, nil, .stream),
        ("auto", nil, "text/event-stream", .stream),
        ("auto", nil, "application/json, TEXT/Event-Stream;q=0.5", .stream),
        ("auto", nil, "application/json", .wait), ("auto", .wait, "text/event-stream", .wait),
        ("stream", .wait, nil, .stream), ("wait", .stream, "text/event-stream", .wait),
        ("queue", .stream, "text/event-stream", .queue),
    ]) func mode(_ route: String, _ asked: ResponseMode?, _ accept: String?, _ expected: ResponseMode) throws {
        let match = try Self.found(
            .post, "/v1/generate", #"{"path": "/v1/generate", "dialect": "unified", "mode": "\#(route)"}"#)
        var headers = HTTPFields()
        headers[.accept] = accept
        #expect(match.mode(asked: asked, headers: headers) == expected)
    }

    @Test(arguments: [
        ("auto", nil, "respond-async", ResponseMode.queue),
        ("auto", ResponseMode.wait, "Respond-Async, wait=10", .queue),
        ("auto", .wait, "wait=10,respond-async;x=1", .queue), ("auto", .stream, "respond-async", .stream),
        ("stream", nil, "respond-async", .stream), ("wait", nil, "respond-async", .wait),
        ("auto", nil, "respond-asynchronously", .wait), ("auto", nil, "x=\"respond-async\"", .wait),
    ]) func preference(_ route: String, _ asked: ResponseMode?, _ prefer: String, _ expected: ResponseMode) throws {
        let match = try Self.found(
            .post, "/v1/generate", #"{"path": "/v1/generate", "dialect": "unified", "mode": "\#(route)"}"#)
        #expect(match.mode(asked: asked, headers: [.prefer: prefer]) == expected)
    }

    @Test func openAIsDialectStreamsByItsBodyAlone() throws {
        let match = try Self.found(.post, "/v1/images/generations", Self.usual[1])
        #expect(match.mode(asked: nil, headers: [.accept: "text/event-stream"]) == .wait)
        #expect(match.mode(asked: .stream, headers: [:]) == .stream)
    }

    @Test func endpointsThatAlwaysStreamOrQueueDoSo() throws {
        let stream = try Self.found(.post, "/api/v1/images/generate/stream", Self.usual[2])
        #expect(stream.mode(asked: .wait, headers: [:]) == .stream)
        let submit = try Self.found(.post, "/api/v1/images/generate", Self.usual[2])
        #expect(submit.mode(asked: .stream, headers: [:]) == .queue)
    }

    @Test(arguments: [
        (HeartbeatStyle.comment, ": ka\n\n"), (.line, ": ka\n"), (.space, " "), (nil, ": ka\n"),
    ]) func heartbeat(_ style: HeartbeatStyle?, _ bytes: String) throws {
        let match = try Self.found(.post, "/v1/generate", Self.usual[0])
        #expect(String(buffer: match.heartbeat(style)) == bytes)
    }
}
