import NIOCore
import StreamCodecs
import Testing

@testable import Simulator

/// The upstream sides of Responses, Gemini, the web UI and Stability, over real HTTP.
@Suite struct FamiliesLiveTests {
    private static func talk<Result: Sendable>(
        _ defaults: String = "", clock: ImpatientClock = ImpatientClock(),
        _ body: @escaping @Sendable (inout LiveClient) async throws -> Result
    ) async throws -> Result {
        var script = SimulatorScript()
        try script.apply(defaults)
        return try await withSimulator(SimulatorConfiguration(defaults: script), time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in try await body(&client) }
        }
    }

    private static func post(
        _ path: String, _ json: String, _ defaults: String = "", headers: [(String, String)] = []
    ) async throws -> LiveClient.Response {
        try await self.talk(defaults) { client in try await client.post(path, json: json, headers: headers) }
    }

    // MARK: - Responses

    private static let drawing =
        #""tools":[{"type":"image_generation","partial_images":2,"size":"64x64"}],"tool_choice":{"type":"image_generation"}"#

    @Test func aResponseNumbersItsEventsAndTellsItsPictureTwice() async throws {
        let response = try await Self.post(
            "/v1/responses", "{\"model\":\"m\",\"input\":\"a\",\"stream\":true,\(Self.drawing)}")
        let events = try LiveEvents(response.body)
        #expect(
            events.frames.compactMap { $0.json?["sequence_number"]?.integer } == Array(0..<Int64(events.frames.count)))
        #expect(events.frames.allSatisfy { $0.json?["type"]?.string == $0.name })
        #expect(events.names.filter { $0.hasSuffix("partial_image") }.count == 2)
        let done = events.frames.first { $0.json?["item"]?["result"]?.string != nil }
        let last = events.frames.last?.json?["response"]
        #expect(last?["status"]?.string == "completed" && last?["output"]?.elements.count == 2)
        #expect(last?["output"]?.elements.first?["result"]?.string == done?.json?["item"]?["result"]?.string)
        #expect(last?["tool_usage"]?["image_gen"]?["output_tokens"]?.integer ?? 0 > 0)
    }

    @Test func aBackgroundResponseIsFoundAgainByAnySimulator() async throws {
        let clock = ImpatientClock()
        let body = "{\"model\":\"m\",\"input\":\"a\",\"background\":true,\(Self.drawing)}"
        let created = try await Self.talk(clock: clock) { try await $0.post("/v1/responses", json: body) }
        let id = try #require(try JSONDocument(created.body).root["id"]?.string)
        #expect(try JSONDocument(created.body).root["status"]?.string == "queued")
        let status = try await Self.talk(clock: clock) { client in
            let early = try JSONDocument(try await client.get("/v1/responses/\(id)").body).root["status"]?.string
            clock.advance(by: .seconds(1))
            let later = try JSONDocument(try await client.get("/v1/responses/\(id)").body).root["status"]?.string
            let tail = try LiveEvents(try await client.get("/v1/responses/\(id)?stream=true&starting_after=6").body)
            let end = try JSONDocument(try await client.get("/v1/responses/\(id)").body).root
            return [
                early, later, tail.frames.first?.json?["sequence_number"]?.integer.map { String($0) },
                end["status"]?.string, end["output"]?.elements.first?["type"]?.string,
            ]
        }
        #expect(status == ["queued", "in_progress", "7", "completed", "image_generation_call"])
    }

    @Test func aCancelledResponseStaysCancelled() async throws {
        let body = "{\"model\":\"m\",\"input\":\"a\",\"background\":true,\(Self.drawing)}"
        let words = try await Self.talk { client in
            let id = try JSONDocument(try await client.post("/v1/responses", json: body).body).root["id"]?.string ?? ""
            let cancelled = try await client.post("/v1/responses/\(id)/cancel", json: "")
            let after = try await client.get("/v1/responses/\(id)")
            return try [cancelled, after].map { try JSONDocument($0.body).root["status"]?.string }
        }
        #expect(words == ["cancelled", "cancelled"])
    }

    @Test(arguments: [
        (
            #"{"model":"m","input":"a","stream":true,"tools":[{"type":"image_generation","size":"7x7"}]}"#,
            "tools[0].size"
        ),
        (#"{"model":"m","input":"a","tools":[{"type":"image_generation","nope":1}]}"#, "tools[0].nope"),
        (#"{"model":"m","input":"a","nope":1}"#, "nope"), (#"{"input":"a"}"#, "model"), (#"{"model":"m"}"#, "input"),
        (#"{"model":"m","input":"a","tool_choice":{"type":"image_generation"}}"#, "tool_choice"),
    ])
    func badRequestsNameTheParameter(_ body: String, _ parameter: String) async throws {
        let response = try await Self.post("/v1/responses", body)
        #expect(response.head.status == 400)
        #expect(try JSONDocument(response.body).root["error"]?["param"]?.string == parameter)
    }

    @Test(
        arguments: [
            ("refuse=stream", "response.completed", "failed"), ("fail=nested", "error", nil),
            ("fail=flat", "error", nil),
            ("no_terminal", "response.image_generation_call.partial_image", nil),
        ] as [(String, String, String?)])
    func faultsEndTheStream(_ script: String, _ last: String, _ item: String?) async throws {
        let body = "{\"model\":\"m\",\"input\":\"a\",\"stream\":true,\(Self.drawing)}"
        let events = try LiveEvents(try await Self.post("/v1/responses", body, script).body)
        #expect(events.names.last == last)
        #expect(events.frames.last?.json?["response"]?["output"]?.elements.first?["status"]?.string == item)
    }

    @Test func wordsAloneWhereNoPictureIsWanted() async throws {
        let body = #"{"model":"m","input":"hello","stream":true,"tools":[{"type":"image_generation"}]}"#
        let events = try LiveEvents(try await Self.post("/v1/responses", body).body)
        #expect(events.frames.compactMap { $0.json?["delta"]?.string }.joined() == "Here you go.")
        #expect(!events.names.contains { $0.contains("image_generation") })
    }

    // MARK: - Gemini

    private static let content =
        #"{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}"#

    @Test func draftsComeBeforeThePicture() async throws {
        let path = "/v1beta/models/m:streamGenerateContent?alt=sse"
        let events = try LiveEvents(try await Self.post(path, Self.content).body)
        let parts = events.frames.compactMap {
            $0.json?["candidates"]?.elements.first?["content"]?["parts"]?.elements.first
        }
        #expect(
            parts.filter { $0["inlineData"] != nil }.map { $0["thought"]?.boolean ?? false } == [true, true, false])
        #expect(events.frames.last?.json?["candidates"]?.elements.first?["finishReason"]?.string == "STOP")
        #expect(events.frames.allSatisfy { $0.name == nil })
    }

    @Test(arguments: [
        ("refuse", "blockReason"), ("refuse=stream", "IMAGE_SAFETY"), ("fail", "{\"error\":{\"code\":503"),
        ("fail=flat", "data: {\"error\""),
        ("status=429", "RetryInfo"), ("status=503", "UNAVAILABLE"),
    ])
    func refusalsAndErrorsAreGooglesOwn(_ script: String, _ text: String) async throws {
        let response = try await Self.post("/v1beta/models/m:streamGenerateContent?alt=sse", Self.content, script)
        #expect(response.text.contains(text), "\(response.text.suffix(300))")
    }

    @Test func predictionsAreFourUnlessAsked() async throws {
        let path = "/v1beta/models/imagen:predict"
        let four = try await Self.post(path, #"{"instances":[{"prompt":"a"}]}"#)
        #expect(try JSONDocument(four.body).root["predictions"]?.elements.count == 4)
        let filtered = try await Self.post(
            path, #"{"instances":[{"prompt":"a"}],"parameters":{"sampleCount":1}}"#, "refuse=stream")
        #expect(filtered.text.contains("raiFilteredReason"))
    }

    // MARK: - The web UI

    @Test func aTaskIsDrawnAndForgotten() async throws {
        let (result, progress) = try await Self.talk { client in
            let result = try await client.post(
                "/sdapi/v1/txt2img", json: #"{"prompt":"a","width":64,"height":64,"n_iter":2,"force_task_id":"t"}"#)
            let task = try await client.post("/internal/progress", json: #"{"id_task":"t"}"#)
            let idle = try await client.get("/sdapi/v1/progress?skip_current_image=true")
            return (result, [task, idle])
        }
        #expect(try JSONDocument(result.body).root["images"]?.elements.count == 2)
        #expect(try JSONDocument(progress[0].body).root["completed"]?.boolean == true)
        #expect(try JSONDocument(progress[1].body).root["state"]?["job_count"]?.integer == 0)
    }

    @Test(arguments: [
        (#"{"steps":"x"}"#, "", 422), (#"{"prompt":"a"}"#, "fail", 500), (#"{"prompt":"a"}"#, "status=503", 503),
    ])
    func errorsAreFastAPIs(_ body: String, _ script: String, _ status: Int) async throws {
        let response = try await Self.post("/sdapi/v1/txt2img", body, script)
        #expect(response.head.status == status)
        #expect(try JSONDocument(response.body).root["detail"] != nil)
    }

    // MARK: - Stability

    private static func form(
        _ fields: [(String, String)], accept: String, _ script: String = ""
    ) async throws -> LiveClient.Response {
        var form = try #require(MultipartFormWriter(boundary: "b"))
        for (name, value) in fields { form.append(name: name, text: value) }
        let (type, body) = (form.contentType, form.finish().reduce(into: ByteBuffer()) { $0.writeImmutableBuffer($1) })
        return try await self.talk(script) { client in
            try await client.send(
                "POST", "/v2beta/stable-image/generate/core", headers: [("Content-Type", type), ("Accept", accept)],
                body: body)
            return try await client.response()
        }
    }

    @Test func aFormGivesAPictureOrJSON() async throws {
        let fields = [("prompt", "a"), ("aspect_ratio", "16:9"), ("seed", "7")]
        let bytes = try await Self.form(fields, accept: "image/*")
        #expect(bytes.head.headers["content-type"] == "image/png" && bytes.head.headers["finish-reason"] == "SUCCESS")
        let json = try JSONDocument(try await Self.form(fields, accept: "application/json").body).root
        #expect(json["image"]?.stringSlice == Base64.encode(bytes.body))
        #expect(json["seed"]?.integer == 7)
    }

    @Test func refusalsAreStabilitys() async throws {
        let late = try await Self.form([("prompt", "a")], accept: "image/*", "refuse=stream")
        #expect(late.head.status == 200 && late.head.headers["finish-reason"] == "CONTENT_FILTERED")
        let early = try await Self.form([("prompt", "a")], accept: "image/*", "refuse")
        #expect(early.head.status == 403 && early.text.contains("content_moderation"))
        #expect(try await Self.form([("prompt", "a"), ("size", "1")], accept: "image/*").head.status == 400)
        #expect(try await Self.post("/v2beta/stable-image/generate/core", "{}").head.status == 400)
    }
}
