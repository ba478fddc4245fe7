import NIOCore
import StreamCodecs
import Testing

@testable import Simulator

@Suite struct OpenAIImagesLiveTests {
    private static let path = "/v1/images/generations"

    private static func post(
        _ json: String, path: String = Self.path, headers: [(String, String)] = [],
        defaults: String = "", clock: ImpatientClock = ImpatientClock()
    ) async throws -> LiveClient.Response {
        var script = SimulatorScript()
        try script.apply(defaults)
        return try await withSimulator(SimulatorConfiguration(defaults: script), time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                try await client.post(path, json: json, headers: headers)
            }
        }
    }

    private static let streamed =
        #"{"prompt":"a shore","size":"128x96","stream":true,"partial_images":3,"quality":"high"}"#

    @Test func aStreamHasEveryFieldOfEveryEvent() async throws {
        let clock = ImpatientClock()
        let response = try await Self.post(Self.streamed, clock: clock)
        #expect(response.head.status == 200 && response.isWhole)
        #expect(response.head.headers["content-type"] == "text/event-stream; charset=utf-8")
        #expect(response.head.headers["transfer-encoding"] == "chunked")
        #expect(response.head.headers["x-request-id"]?.hasPrefix("req_") == true)
        let events = try LiveEvents(response.body)
        let partial = "image_generation.partial_image"
        #expect(events.names == [partial, partial, partial, "image_generation.completed"])
        #expect(clock.now.offset == .seconds(4))
        for (index, frame) in events.frames.enumerated() {
            let json = try #require(frame.json)
            #expect(json["type"]?.string == frame.name)
            #expect(json["created_at"]?.integer == ImpatientClock.start / 1000 + Int64(index + 1))
            #expect(json["size"]?.string == "128x96" && json["quality"]?.string == "high")
            #expect(json["background"]?.string == "opaque" && json["output_format"]?.string == "png")
            #expect(json["partial_image_index"]?.integer == (index < 3 ? Int64(index) : nil))
            let payload = try #require(json["b64_json"]?.stringSlice)
            let png = try PNGReader(try Base64.decode(payload))
            #expect(png.width == 128 && png.height == 96)
        }
        let usage = try #require(events.frames.last?.json?["usage"])
        #expect(usage["input_tokens"]?.integer == 1)
        #expect(usage["input_tokens_details"]?["text_tokens"]?.integer == 1)
        #expect(usage["input_tokens_details"]?["image_tokens"]?.integer == 0)
        #expect((usage["output_tokens"]?.integer ?? 0) + 1 == usage["total_tokens"]?.integer)
        #expect(usage["output_tokens_details"] == nil)
    }

    @Test func anAnswerAtOnceHasEveryPicture() async throws {
        let clock = ImpatientClock()
        let response = try await Self.post(
            #"{"prompt":"a","size":"64x64","n":3,"background":"transparent"}"#, clock: clock)
        #expect(response.head.status == 200 && clock.now.offset == .seconds(4))
        #expect(response.head.headers["content-type"] == "application/json")
        let json = try JSONDocument(response.body).root
        #expect(json["created"]?.integer == ImpatientClock.start / 1000)
        #expect(json["background"]?.string == "transparent" && json["output_format"]?.string == "png")
        #expect(json["size"]?.string == "64x64" && json["quality"]?.string == "medium")
        let payloads = (json["data"]?.elements ?? []).compactMap { $0["b64_json"]?.string }
        #expect(Set(payloads).count == 3)
        #expect(
            json["usage"]?["output_tokens_details"]?["image_tokens"]?.integer
                == json["usage"]?["output_tokens"]?.integer)
    }

    @Test func theSamePromptAndSeedGiveTheSamePicture() async throws {
        func picture(_ prompt: String) async throws -> String? {
            let json = "{\"prompt\":\"\(prompt)\",\"size\":\"64x64\"}"
            return try JSONDocument(try await Self.post(json).body).root["data"]?.elements.first?["b64_json"]?.string
        }
        let first = try await picture("a lake")
        #expect(first != nil)
        #expect(try await picture("a lake [sim duration=1s]") == first)
        #expect(try await picture("a lake [sim seed=5]") != first)
        #expect(try await picture("b lake") != first)
    }

    @Test func editsNameTheirOwnEvents() async throws {
        let json = #"{"prompt":"a","images":[{"file_id":"f"}],"size":"64x64","stream":true,"partial_images":1}"#
        let events = try LiveEvents(try await Self.post(json, path: "/v1/images/edits").body)
        #expect(events.names == ["image_edit.partial_image", "image_edit.completed"])
        #expect(events.frames.last?.json?["usage"]?["input_tokens_details"]?["image_tokens"]?.integer == 323)
    }

    @Test func severalPicturesCompleteOneByOne() async throws {
        let json = #"{"prompt":"a","n":2,"size":"64x64","stream":true,"partial_images":1}"#
        let events = try LiveEvents(try await Self.post(json).body)
        let indexes = events.frames.compactMap { $0.json?["partial_image_index"]?.integer }
        #expect(indexes == [0, 0])
        #expect(events.names.suffix(2) == ["image_generation.completed", "image_generation.completed"])
    }

    // MARK: - Refusals

    private static let errors: [(body: String, header: (String, String)?, status: Int, type: String, code: String?)] = [
        (#"{"prompt":"a","response_format":"url"}"#, nil, 400, "invalid_request_error", "unknown_parameter"),
        (#"{"prompt":"a [sim refuse]"}"#, nil, 400, "image_generation_user_error", "moderation_blocked"),
        (#"{"prompt":"a"}"#, ("Authorization", "Bearer bad-key"), 401, "invalid_request_error", "invalid_api_key"),
        (
            #"{"prompt":"a"}"#, ("x-simulator", "status=429; retry_after=12s"), 429, "rate_limit_error",
            "rate_limit_exceeded"
        ),
        (#"{"prompt":"a"}"#, ("x-simulator", "status=503"), 503, "server_error", "server_error"),
        (#"{"prompt":"a"}"#, ("x-simulator", "fail"), 500, "server_error", "server_error"),
        (#"{"prompt":"a"}"#, ("x-simulator", "colour=red"), 400, "invalid_request_error", "invalid_simulator_script"),
        (#"{"prompt":"a [sim colour=red]"}"#, nil, 400, "invalid_request_error", "invalid_simulator_script"),
    ]

    @Test(arguments: errors.indices)
    func errorsHaveOpenAIsForm(index: Int) async throws {
        let expected = Self.errors[index]
        let response = try await Self.post(expected.body, headers: expected.header.map { [$0] } ?? [])
        #expect(response.head.status == expected.status)
        let error = try #require(try JSONDocument(response.body).root["error"])
        #expect(error["type"]?.string == expected.type)
        #expect(error["code"]?.string == expected.code)
        #expect(error["param"] != nil && error["message"]?.string?.isEmpty == false)
        if expected.status == 429 {
            #expect(response.head.headers["retry-after"] == "12")
            #expect(response.head.headers["retry-after-ms"] == "12000")
            #expect(response.head.headers["x-ratelimit-remaining-requests"] == "0")
        }
    }

    @Test func theQueryScriptsToo() async throws {
        let response = try await Self.post(#"{"prompt":"a"}"#, path: Self.path + "?x=1&sim=status%3D418+chunk=1")
        #expect(response.head.status == 418)
    }

    // MARK: - Faults of streams

    private static let faults: [(script: String, names: [String])] = [
        ("previews=1", ["partial_image", "completed"]),
        ("previews=0", ["completed"]),
        ("early_final", ["partial_image", "completed"]),
        ("no_terminal", ["partial_image", "partial_image", "partial_image"]),
        ("fail", ["partial_image", "error"]),
        ("fail=flat", ["partial_image", "error"]),
        ("fail previews=0", ["error"]),
        ("refuse=stream", ["partial_image", "error"]),
        ("unknown_event previews=1", ["partial_image", "simulated_notice", "completed"]),
        ("malformed=sse previews=1", ["partial_image"]),
        ("malformed=json previews=1", ["partial_image", "completed"]),
        ("malformed=event previews=0", ["completed"]),
        ("malformed=base64 previews=0", ["completed"]),
    ]

    @Test(arguments: faults)
    func faultsChangeTheSequence(script: String, names: [String]) async throws {
        let response = try await Self.post(Self.streamed, headers: [("x-simulator", script)])
        #expect(response.isWhole)
        let events = try LiveEvents(response.body)
        #expect(events.names.map { $0.split(separator: ".").last.map(String.init) ?? "" } == names)
        let last = try #require(events.frames.last)
        switch script {
        case "fail": #expect(last.json?["error"]?["code"]?.string == "server_error")
        case "fail=flat": #expect(last.json?["code"]?.string == "server_error" && last.json?["error"] == nil)
        case "refuse=stream": #expect(last.json?["error"]?["code"]?.string == "moderation_blocked")
        case "malformed=json previews=1": #expect(last.json == nil)
        case "malformed=event previews=0": #expect(last.json != nil && last.json?["b64_json"] == nil)
        case "malformed=base64 previews=0":
            let payload = try #require(last.json?["b64_json"]?.stringSlice)
            #expect(throws: CodecError.self) { try Base64.canonical(text: payload) }
        default: break
        }
    }

    @Test func aPageOfHTMLInPlaceOfTheStream() async throws {
        let response = try await Self.post(Self.streamed, headers: [("x-simulator", "malformed=html")])
        #expect(response.head.status == 200)
        #expect(response.head.headers["content-type"] == "text/html; charset=utf-8")
        #expect(response.text.hasPrefix("<!DOCTYPE html>"))
    }

    @Test(arguments: [(0, 0), (1, 0), (1000, 1)])
    func theConnectionBreaksAfterBytes(bytes: Int, unused: Int) async throws {
        let response = try await Self.post(Self.streamed, headers: [("x-simulator", "truncate=\(bytes)")])
        #expect(response.head.status == 200 && !response.isWhole)
        #expect(response.body.readableBytes == bytes)
    }

    @Test(arguments: 0...3)
    func theConnectionBreaksInTheMiddleOfAnEvent(index: Int) async throws {
        let response = try await Self.post(Self.streamed, headers: [("x-simulator", "truncate=event_\(index)")])
        #expect(!response.isWhole)
        let events = try LiveEvents(response.body)
        #expect(events.frames.count == index && events.hasPartialFrame)
    }

    @Test func anAnswerAtOnceBreaksToo() async throws {
        let response = try await Self.post(
            #"{"prompt":"a","size":"64x64"}"#, headers: [("x-simulator", "truncate=500")])
        #expect(response.head.headers["content-length"] != nil)
        #expect(!response.isWhole && response.body.readableBytes == 500)
    }

    @Test(arguments: [1, 1000, 65536])
    func writesHaveTheSizeAskedFor(chunk: Int) async throws {
        let json = #"{"prompt":"a","size":"16x16","stream":true}"#
        let response = try await Self.post(json, headers: [("x-simulator", "chunk=\(chunk)")])
        #expect(response.isWhole && response.chunkSizes.allSatisfy { $0 <= chunk })
        #expect(chunk > 1 || response.chunkSizes.count == response.body.readableBytes)
        #expect(try LiveEvents(response.body).names == ["image_generation.completed"])
    }

    @Test func eventsOfEightMegabytes() async throws {
        let json = #"{"prompt":"a","size":"16x16","stream":true}"#
        let response = try await Self.post(json, headers: [("x-simulator", "payload=6MiB")])
        let payload = try #require(try LiveEvents(response.body).frames.last?.json?["b64_json"]?.stringSlice)
        #expect(payload.readableBytes == 8 << 20)
        #expect(try Base64.decode(payload).readableBytes == 6 << 20)
    }
}
