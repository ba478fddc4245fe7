import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    @Suite struct Cancelling {
        private static let ask = #"{"prompt": "a lake", "stream": true, "partial_images": 1}"#
        private static let head = ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n"

        @Test func endsTheJobOnceAndSaysSoEachTime() async throws {
            let schema = try SchemaValidator.events()
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                let job = try #require(try await client.readHead()["x-safelight-job-id"])
                try await visit.write(Self.head + SamplePicture.partial)
                var answers: [String] = []
                for _ in 0..<3 {
                    let (head, body) = try await gateway.send("DELETE", "/v1/jobs/\(job)")
                    #expect(head.status == 200)
                    #expect(schema.problems(in: body.readableBytesView, definition: "snapshot") == [])
                    let snapshot = try JSONObject(body)
                    #expect(snapshot.string("status") == "cancelled")
                    #expect(snapshot.string("cancelled.reason") == "client")
                    answers.append("\(snapshot.integer("last_seq") ?? 0) \(snapshot.string("finished_at") ?? "")")
                }
                #expect(Set(answers).count == 1)
                try await visit.waitForClose()
                let events = try await client.readEvents()
                #expect(events.last?.name == "cancelled")
                #expect(events.filter { ["completed", "error", "cancelled"].contains($0.name) }.count == 1)
                // This upstream has no call for it: closing its connection is all there is.
                let snapshot = try await gateway.snapshot(job) { $0.string("upstream_cancel") != "pending" }
                #expect(snapshot.string("upstream_cancel") == "unsupported")
            }
        }

        @Test func aFinishedJobStaysAsItIs() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                let job = try #require(try await client.readHead()["x-safelight-job-id"])
                try await visit.finish(Self.head + SamplePicture.completed)
                #expect(try await client.readEvents().last?.name == "completed")
                let (head, body) = try await gateway.send("DELETE", "/v1/jobs/\(job)")
                #expect(head.status == 200)
                #expect(try JSONObject(body).string("status") == "completed")
                #expect(try JSONObject(body).string("upstream_cancel") == nil)
            }
        }

        /// Cancelling and the last picture at once: one of them wins, and everybody is told the same.
        @Test func theFirstTerminalWins() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                for _ in 0..<30 {
                    let client = try await gateway.connect()
                    try await client.post("/v1/generate", json: Self.ask)
                    let visit = try await upstream.next()
                    let job = try #require(try await client.readHead()["x-safelight-job-id"])
                    async let first = gateway.send("DELETE", "/v1/jobs/\(job)")
                    async let second = gateway.send("DELETE", "/v1/jobs/\(job)")
                    try await visit.finish(Self.head + SamplePicture.completed)
                    let terminals = try await client.readEvents().compactMap(\.name).filter {
                        ["completed", "error", "cancelled"].contains($0)
                    }
                    #expect(terminals.count == 1)
                    for answer in [try await first, try await second] {
                        #expect(answer.head.status == 200)
                        #expect(try JSONObject(answer.body).string("status") == terminals.first)
                    }
                    #expect(try await gateway.events(job).events.last?.name == terminals.first)
                }
                try await gateway.wait { $0.jobs == 0 && $0.streams == 0 && $0.upstream_calls == 0 }
            }
        }

        /// An upstream that has a cancel call of its own is told.
        @Test func reachesAQueuedUpstream() async throws {
            let file = """
                "storage": {"images": {"disk": "pictures"}},
                "upstreams": {"lab": {"provider": "queue", "preset": "stages", "base_url": "simulator:"}},
                "route_defaults": {"auth": "public", "public_without_limits": true, "upstreams": ["lab"]},
                "routes": [{"mount": "/api", "dialect": "stages"}, {"path": "/v1/generate", "dialect": "unified"}]
                """
            var settings = LiveGateway.Settings(file: file)
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                for path in ["/v1/jobs/%", "/api/jobs/%", "/api/jobs/%/cancel"] {
                    let (_, body) = try await gateway.send(
                        "POST", "/api/generate", json: #"{"prompt": "a lake [sim duration=20s]"}"#)
                    let job = try #require(try JSONObject(body).string("job_id"))
                    _ = try await gateway.snapshot(job) { $0.string("stage") == "generating" }
                    let target = path.replacingOccurrences(of: "%", with: job)
                    let answer = try await gateway.send(
                        path.hasSuffix("cancel") ? "POST" : "DELETE", target, headers: "Content-Length: 0\r\n")
                    #expect(answer.head.status == 200)
                    #expect(try JSONObject(answer.body).string("status") == "cancelled")
                    let snapshot = try await gateway.snapshot(job) { $0.string("upstream_cancel") != "pending" }
                    #expect(snapshot.string("upstream_cancel") == "done")
                }
            }
        }
    }

    /// `202`: the client asks later.
    @Suite struct Asynchronous {
        private static let head = ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n"

        @Test(arguments: [
            ("/v1/generate", "Prefer: respond-async\r\n"), ("/v1/images/generations", "Prefer: respond-async\r\n"),
            ("/v1/queue", ""),
        ]) func aJobIsAnsweredAtOnce(_ path: String, _ header: String) async throws {
            let schema = try SchemaValidator.events()
            let upstream = try await ScriptedUpstream.start()
            let queue = #"{"path": "/v1/queue", "dialect": "unified", "mode": "queue"}"#
            let file = LiveFile.file(
                upstream: upstream.url, defaults: #", "on_disconnect": "cancel""#, routes: LiveFile.both + ", " + queue)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let (head, body) = try await gateway.send("POST", path, headers: header, json: #"{"prompt": "a lake"}"#)
                #expect(head.status == 202)
                #expect(head["preference-applied"] == (header.isEmpty ? nil : "respond-async"))
                #expect(schema.problems(in: body.readableBytesView, definition: "snapshot") == [])
                let job = try #require(try JSONObject(body).string("job_id"))
                #expect(head["location"]?.hasSuffix("/v1/jobs/\(job)") == true)
                #expect(head["x-safelight-job-id"] == job)
                let visit = try await upstream.next()
                // Nobody watches it, so nobody has left it.
                #expect(try await gateway.snapshot(job) { _ in true }.string("status") != "cancelled")
                try await visit.finish(
                    ScriptedUpstream.answer(
                        "200 OK", #"{"created": 1, "data": [{"b64_json": "\#(SamplePicture.png)"}]}"#))
                let snapshot = try await gateway.snapshot(job) { $0.string("finished_at") != nil }
                #expect(snapshot.string("status") == "completed")
                #expect(snapshot.count("images") == 1)
                let (_, events) = try await gateway.events(job)
                #expect(try events.first { $0.name == "image" }?.json().string("b64_json") == SamplePicture.png)
            }
        }

        @Test func stagesAnswersInItsOwnForm() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(
                upstream: upstream.url, more: #", "storage": {"images": {"disk": "pictures"}}"#,
                routes: #"{"mount": "/api", "dialect": "stages"}"#)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let (head, body) = try await gateway.send("POST", "/api/generate", json: #"{"prompt": "a lake"}"#)
                #expect(head.status == 200)
                let job = try #require(try JSONObject(body).string("job_id"))
                let visit = try await upstream.next()
                try await visit.finish(
                    ScriptedUpstream.answer(
                        "200 OK", #"{"created": 1, "data": [{"b64_json": "\#(SamplePicture.png)"}]}"#))
                let snapshot = try await gateway.snapshot(job) { $0.string("finished_at") != nil }
                #expect(snapshot.string("status") == "completed")
                let state = try JSONObject(try await gateway.send("GET", "/api/jobs/\(job)").body)
                #expect(state.string("status") == "completed" && state.integer("progress_percentage") == 100)
                #expect(state.string("result.images.0.image_url") != nil)
                let list = try await gateway.send("GET", "/api/jobs?limit=5&status=completed")
                #expect(list.head.status == 200)
                #expect(try JSONObject(list.body).count("jobs") == 0)
                for bad in ["/api/jobs?limit=x", "/api/jobs?cursor=x", "/api/jobs?status=x"] {
                    let (head, body) = try await gateway.send("GET", bad)
                    #expect(head.status == 422)
                    #expect(try JSONObject(body).string("detail") != nil)
                }
                #expect(try await gateway.send("GET", "/api/jobs/\(JobID().text)").head.status == 404)
            }
        }
    }
}
