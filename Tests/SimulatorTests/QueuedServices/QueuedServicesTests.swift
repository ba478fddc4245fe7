import Foundation
import HTTPTypes
import NIOCore
import StreamCodecs
import Testing

@testable import Simulator

@Suite struct QueuedServiceCallTests {
    @Test(
        arguments: [
            (.post, "/fal/fal-ai/flux/dev", .fal(.submit(app: "fal-ai/flux/dev")), "/fal"),
            (.get, "/fal/fal-ai/flux/requests/x", .fal(.result(app: "fal-ai/flux", id: "x")), "/fal"),
            (.get, "/fal/fal-ai/flux/requests/x/status", .fal(.status(app: "fal-ai/flux", id: "x")), "/fal"),
            (
                .get, "/fal/fal-ai/flux/requests/x/status/stream", .fal(.statusStream(app: "fal-ai/flux", id: "x")),
                "/fal"
            ),
            (.put, "/fal/fal-ai/flux/requests/x/cancel", .fal(.cancel(app: "fal-ai/flux", id: "x")), "/fal"),
            (.post, "/replicate/v1/models/a/b/predictions", .replicate(.submit(model: "a/b")), "/replicate/v1"),
            (.post, "/replicate/v1/predictions", .replicate(.submit(model: nil)), "/replicate/v1"),
            (.get, "/replicate/v1/predictions/x", .replicate(.prediction("x")), "/replicate/v1"),
            (.get, "/replicate/v1/predictions/x/stream", .replicate(.stream("x")), "/replicate/v1"),
            (.post, "/replicate/v1/predictions/x/cancel", .replicate(.cancel("x")), "/replicate/v1"),
            (.post, "/bfl/v1/flux-2-pro", .bfl(.submit(model: "flux-2-pro")), "/bfl/v1"),
            (.get, "/bfl/v1/get_result", .bfl(.result), "/bfl/v1"),
        ] as [(HTTPRequest.Method, String, QueuedServiceCall, String)])
    func paths(_ method: HTTPRequest.Method, _ path: String, _ call: QueuedServiceCall, _ prefix: String) {
        #expect(Endpoint.match(method: method, path: path) == .found(.queuedService(call), prefix: prefix))
    }

    @Test func whatIsNoCallOfTheirsIsNone() {
        #expect(Endpoint.match(method: .get, path: "/fal/a/b") == .methodNotAllowed(allow: "POST"))
        #expect(Endpoint.match(method: .get, path: "/replicate/v2/predictions/x") == .notFound)
        #expect(Endpoint.match(method: .get, path: "/fal/a/requests/x/y") == .notFound)
        #expect(Endpoint.match(method: .post, path: "/bfl/v1/a/b") == .notFound)
        #expect(Endpoint.match(method: .get, path: "/fal/images/y.png") == .found(.image("y"), prefix: "/fal"))
        #expect(Endpoint.match(method: .get, path: "/fal/") == .notFound)
    }
}

@Suite struct QueuedServicesTests {
    private static let origin = "http://simulator.test:81"

    private static func json(_ response: LiveClient.Response, status: Int = 200) throws -> JSONNode {
        #expect(response.head.status == status, "\(response.text)")
        return try JSONDocument(response.body).root
    }

    /// Of an absolute URL in an answer.
    private static func path(_ node: JSONNode?) throws -> String {
        let url = try #require(node?.string)
        #expect(url.hasPrefix(Self.origin))
        return String(url.dropFirst(Self.origin.count))
    }

    private func with(_ body: (ImpatientClock, inout LiveClient) async throws -> Void) async throws {
        let clock = ImpatientClock()
        try await withSimulator(time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in try await body(clock, &client) }
        }
    }

    @Test func falIsPolledFetchedAndShown() async throws {
        try await self.with { clock, client in
            let body = #"{"prompt":"a shore","seed":4,"image_size":{"width":512,"height":256},"num_images":2}"#
            let submitted = try Self.json(try await client.post("/fal/fal-ai/flux/dev", json: body))
            #expect(submitted["status"]?.string == "IN_QUEUE" && submitted["queue_position"]?.integer == 2)
            let status = try Self.path(submitted["status_url"])
            #expect(status.hasPrefix("/fal/fal-ai/flux/requests/job_"))
            clock.advance(by: .milliseconds(2500))
            let working = try Self.json(try await client.get(status + "?logs=1"), status: 202)
            #expect(working["status"]?.string == "IN_PROGRESS")
            #expect(working["logs"]?.elements.last?["message"]?.string?.hasPrefix(" 50%|#####     | 14/28 [") == true)
            let result = try Self.path(submitted["response_url"])
            #expect(try Self.json(try await client.get(result), status: 400)["detail"]?.string != nil)
            clock.advance(by: .seconds(3))
            #expect(try Self.json(try await client.get(status))["status"]?.string == "COMPLETED")
            let images = try Self.json(try await client.get(result))["images"]?.elements ?? []
            #expect(images.count == 2)
            let file = try await client.get(try Self.path(images.first?["url"]))
            let picture = try PNGReader(file.body)
            #expect(picture.width == 512 && picture.height == 256)
            let cancelled = try Self.json(
                try await client.get(try Self.path(submitted["cancel_url"]), method: "PUT"), status: 400)
            #expect(cancelled["status"]?.string == "ALREADY_COMPLETED")
        }
    }

    @Test func falStreamsAndCancels() async throws {
        try await self.with { _, client in
            let first = try Self.json(try await client.post("/fal/a/b", json: #"{"prompt":"x"}"#))
            let stream = try await client.get(try Self.path(first["status_url"]) + "/stream")
            let states = try LiveEvents(stream.body).frames.compactMap { $0.json?["status"]?.string }
            #expect(stream.isWhole && states.first == "IN_QUEUE" && states.last == "COMPLETED")
            #expect(states.contains("IN_PROGRESS"))
            let lines = try LiveEvents(stream.body).frames.flatMap { $0.json?["logs"]?.elements ?? [] }
            #expect(lines.count == 5)
            let second = try Self.json(try await client.post("/fal/a/b", json: #"{"prompt":"x"}"#))
            let cancel = try Self.path(second["cancel_url"])
            #expect(try Self.json(try await client.get(cancel, method: "PUT"), status: 202)["status"] != nil)
            let status = try Self.json(try await client.get(try Self.path(second["status_url"])))
            #expect(status["status"]?.string == "COMPLETED" && status["error_type"]?.string == "client_cancelled")
            let unknown = try Self.json(try await client.get("/fal/a/b/requests/job_x/status"), status: 404)
            #expect(unknown["status"]?.string == "NOT_FOUND")
        }
    }

    @Test(arguments: [
        ("refuse", 422, "", 0), ("fail", 200, "runner_disconnected", 500), ("refuse=stream", 200, "", 422),
    ])
    func falFails(_ fault: String, _ submission: Int, _ type: String, _ result: Int) async throws {
        try await self.with { clock, client in
            let submitted = try Self.json(
                try await client.post("/fal/a/b", json: #"{"prompt":"x [sim \#(fault)]"}"#), status: submission)
            guard submission == 200 else {
                #expect(submitted["detail"]?.elements.first?["type"]?.string == "content_policy_violation")
                return
            }
            clock.advance(by: .seconds(10))
            let status = try Self.json(try await client.get(try Self.path(submitted["status_url"])))
            #expect(status["status"]?.string == "COMPLETED" && status["error_type"]?.string ?? "" == type)
            let answer = try await client.get(try Self.path(submitted["response_url"]))
            #expect(answer.head.status == result)
        }
    }

    @Test func replicatePredicts() async throws {
        try await self.with { clock, client in
            let body = #"{"input":{"prompt":"a shore","aspect_ratio":"2:1","num_outputs":2}}"#
            let created = try Self.json(
                try await client.post("/replicate/v1/models/a/b/predictions", json: body), status: 201)
            #expect(created["status"]?.string == "starting" && created["output"]?.isNull == true)
            let get = try Self.path(created["urls"]?["get"])
            clock.advance(by: .milliseconds(2500))
            let working = try Self.json(try await client.get(get))
            #expect(working["status"]?.string == "processing" && working["logs"]?.string?.contains("25%|##") == true)
            clock.advance(by: .seconds(3))
            let done = try Self.json(try await client.get(get))
            #expect(done["status"]?.string == "succeeded" && done["output"]?.elements.count == 2)
            let file = try await client.get(try Self.path(done["output"]?.elements.last))
            let picture = try PNGReader(file.body)
            #expect(abs(picture.width - 2 * picture.height) <= 32)
            let cancelled = try Self.json(try await client.post(get + "/cancel", json: "{}"))
            #expect(cancelled["status"]?.string == "succeeded")
        }
    }

    @Test func replicateStreamsDraftsAndCancels() async throws {
        try await self.with { _, client in
            let created = try Self.json(
                try await client.post("/replicate/v1/predictions", json: #"{"version":"v","input":{"prompt":"x"}}"#),
                status: 201)
            let stream = try await client.get(try Self.path(created["urls"]?["stream"]))
            let text = stream.text
            #expect(stream.isWhole && text.hasSuffix("data: {}\n\n"))
            let outputs = text.components(separatedBy: "event: output\n").dropFirst()
            #expect(outputs.count == 4)
            #expect(outputs.dropLast().allSatisfy { $0.contains("data: data:image/png;base64,iVBORw0KGgo") })
            #expect(outputs.last?.contains("data: \(Self.origin)/replicate/v1/images/img_") == true)
            let other = try Self.json(
                try await client.post("/replicate/v1/models/a/b/predictions", json: #"{"input":{"prompt":"x"}}"#),
                status: 201)
            let cancel = try await client.post(try Self.path(other["urls"]?["cancel"]), json: "{}")
            #expect(try Self.json(cancel)["status"]?.string == "canceled")
            let after = try await client.get(try Self.path(other["urls"]?["stream"]))
            #expect(after.text.contains(#"event: done"#) && after.text.contains(#"{"reason": "canceled"}"#))
        }
    }

    @Test(arguments: ["refuse", "refuse=stream", "fail"])
    func replicateFails(_ fault: String) async throws {
        try await self.with { clock, client in
            let body = #"{"input":{"prompt":"x [sim \#(fault)]"}}"#
            let created = try Self.json(
                try await client.post("/replicate/v1/models/a/b/predictions", json: body), status: 201)
            clock.advance(by: .seconds(10))
            let done = try Self.json(try await client.get(try Self.path(created["urls"]?["get"])))
            #expect(done["status"]?.string == "failed")
            #expect(done["error"]?.string?.contains("NSFW") == fault.hasPrefix("refuse"))
            let stream = try await client.get(try Self.path(created["urls"]?["stream"]))
            #expect(stream.text.contains("event: error\n") && stream.text.contains(#"{"reason": "error"}"#))
        }
        try await self.with { _, client in
            let refused = try await client.post("/replicate/v1/models/a/b/predictions", json: #"{"input":{}}"#)
            #expect(try Self.json(refused, status: 422)["title"]?.string == "Input validation failed")
        }
    }

    @Test func bflIsPolled() async throws {
        try await self.with { clock, client in
            let body = #"{"prompt":"a shore","width":512,"height":256,"seed":3}"#
            let task = try Self.json(try await client.post("/bfl/v1/flux-2-pro", json: body))
            let poll = try Self.path(task["polling_url"])
            #expect(poll.hasPrefix("/bfl/v1/get_result?id=job_"))
            let queued = try Self.json(try await client.get(poll))
            #expect(queued["status"]?.string == "Pending" && queued["progress"]?.isNull == true)
            clock.advance(by: .milliseconds(2500))
            #expect(try Self.json(try await client.get(poll))["progress"]?.double ?? 0 > 0.3)
            clock.advance(by: .seconds(3))
            let ready = try Self.json(try await client.get(poll))
            #expect(ready["status"]?.string == "Ready")
            let file = try await client.get(try Self.path(ready["result"]?["sample"]))
            #expect(try PNGReader(file.body).width == 512)
            let unknown = try Self.json(try await client.get("/bfl/v1/get_result?id=7"))
            #expect(unknown["status"]?.string == "Task not found")
            let odd = try await client.post("/bfl/v1/flux-2-pro", json: #"{"prompt":"x","width":500}"#)
            #expect(try Self.json(odd, status: 422)["detail"]?.elements.first?["type"]?.string == "multiple_of")
        }
    }

    @Test(arguments: [
        ("refuse", "Request Moderated"), ("refuse=stream", "Content Moderated"), ("fail", "Error"),
    ])
    func bflFails(_ fault: String, _ status: String) async throws {
        try await self.with { clock, client in
            let task = try Self.json(
                try await client.post("/bfl/v1/m", json: #"{"prompt":"x [sim \#(fault)]"}"#))
            clock.advance(by: .seconds(10))
            #expect(try Self.json(try await client.get(try Self.path(task["polling_url"])))["status"]?.string == status)
        }
    }

    @Test(arguments: [
        ("/fal/a/b", "Authorization", "Key bad-key", 401),
        ("/replicate/v1/models/a/b/predictions", "Authorization", "Bearer bad", 401),
        ("/bfl/v1/m", "x-key", "bad", 403),
    ])
    func badKeysAreRefused(_ path: String, _ header: String, _ key: String, _ status: Int) async throws {
        try await self.with { _, client in
            let answer = try await client.post(
                path, json: #"{"prompt":"x","input":{"prompt":"x"}}"#, headers: [(header, key)])
            #expect(answer.head.status == status)
        }
    }
}
