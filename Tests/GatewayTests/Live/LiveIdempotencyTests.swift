import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// B3: a request that is sent again is paid once.
    @Suite struct Idempotency {
        private static let head = ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n"
        private static let picture = ScriptedUpstream.answer(
            "200 OK", #"{"created": 1, "data": [{"b64_json": "\#(SamplePicture.png)"}]}"#)

        struct Outcome: Sendable, CustomTestStringConvertible {
            let name: String
            let path: String
            let body: String
            let answer: String
            let status: Int
            var testDescription: String { self.name }

            init(_ name: String, _ path: String, _ body: String, _ answer: String, _ status: Int) {
                (self.name, self.path, self.body, self.answer, self.status) = (name, path, body, answer, status)
            }
        }

        private static let ask = #"{"prompt": "a lake"}"#
        private static let stream = #"{"prompt": "a lake", "stream": true}"#
        private static let openAI = "/v1/images/generations"
        private static let refusal = ScriptedUpstream.answer(
            "400 Bad Request", #"{"error": {"message": "No.", "type": "x", "code": "moderation_blocked"}}"#)
        private static let fault = ScriptedUpstream.answer(
            "500 Internal Server Error", #"{"error": {"message": "lamp"}}"#)

        static let outcomes = [
            Outcome("answer", "/v1/generate", ask, picture, 200), Outcome("OpenAI's answer", openAI, ask, picture, 200),
            Outcome("stream", "/v1/generate", stream, head + SamplePicture.completed, 200),
            Outcome("OpenAI's stream", openAI, stream, head + SamplePicture.completed, 200),
            Outcome("failed stream", "/v1/generate", stream, fault, 200),
            Outcome("refusal", "/v1/generate", ask, refusal, 400), Outcome("fault", "/v1/generate", ask, fault, 502),
            Outcome("OpenAI's fault", openAI, ask, fault, 502),
            Outcome("OpenAI's failed stream", openAI, stream, fault, 502),
            Outcome("truncated", openAI, ask, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", 502),
        ]

        private static func file(_ upstream: CountingUpstream) -> String {
            LiveFile.file(upstream: upstream.url, routes: LiveFile.both)
                .replacingOccurrences(of: #""every": "100ms""#, with: #""every": "10m""#)
        }

        /// The body as it is for everybody who asks: the request's own id and the time to reconnect are the client's.
        private static func comparable(_ body: ByteBuffer) -> String {
            String(buffer: body).replacing(#/"request_id":"[^"]*",?/#, with: "").replacing(#/retry: \d+\n/#, with: "")
        }

        @Test(arguments: outcomes) func eachOutcomeIsReplayed(_ outcome: Outcome) async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(outcome.answer) }
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                var bodies: Set<String> = []
                var jobs: Set<String> = []
                for _ in 0..<3 {
                    let (head, body) = try await gateway.send(
                        "POST", outcome.path, headers: "Idempotency-Key: one\r\n", json: outcome.body)
                    #expect(head.status == outcome.status)
                    if let job = head["x-safelight-job-id"] { jobs.insert(job) }
                    // A repetition finds the newest event of each stage.
                    bodies.insert(
                        outcome.path == "/v1/generate" && outcome.body == Self.stream
                            ? Self.comparable(body).components(separatedBy: "\n\n").suffix(3).joined()
                            : Self.comparable(body))
                }
                #expect(bodies.count == 1, "\(bodies)")
                #expect(jobs.count <= 1)
                #expect(upstream.count == 1)
                let other = try await gateway.send(
                    "POST", outcome.path, headers: "Idempotency-Key: one\r\n", json: #"{"prompt": "a sea"}"#)
                #expect(other.head.status == 422)
                #expect(String(buffer: other.body).contains("idempotency_mismatch"))
                #expect(upstream.count == 1)
                _ = try await gateway.send(
                    "POST", outcome.path, headers: "Idempotency-Key: two\r\n", json: outcome.body)
                #expect(upstream.count == 2)
            }
        }

        @Test func manyAtOnceAreOneJob() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.head + SamplePicture.completed) }
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                for round in 0..<10 {
                    try await withThrowingTaskGroup(of: (String?, [String]).self) { group in
                        for _ in 0..<8 {
                            group.addTask {
                                let client = try await gateway.connect()
                                try await client.post(
                                    "/v1/generate", json: Self.stream, headers: "Idempotency-Key: round-\(round)\r\n")
                                let job = try await client.readHead()["x-safelight-job-id"]
                                let events = try await client.readEvents()
                                #expect(try events.first?.json().string("stage") == "queued")
                                return (job, events.filter { $0.name != "stage" }.map { ($0.id ?? "") + $0.data })
                            }
                        }
                        var jobs: Set<String?> = []
                        var pictures: Set<[String]> = []
                        for try await (job, events) in group {
                            jobs.insert(job)
                            pictures.insert(events)
                        }
                        #expect(jobs.count == 1 && pictures.count == 1)
                    }
                    #expect(upstream.count == round + 1)
                }
            }
        }

        @Test func aJoinerFindsTheRunningJob() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(upstream: upstream.url, routes: LiveFile.both)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let key = "Idempotency-Key: one\r\n"
                let first = try await gateway.connect()
                try await first.post("/v1/generate", json: Self.stream, headers: key)
                let visit = try await upstream.next()
                let job = try await first.readHead()["x-safelight-job-id"]
                try await visit.write(Self.head + SamplePicture.partial)
                while try await first.readEvent()?.name != "partial_image" {}
                try await first.close()
                let second = try await gateway.connect()
                try await second.post("/v1/generate", json: Self.stream, headers: key)
                #expect(try await second.readHead()["x-safelight-job-id"] == job)
                let begin = try #require(try await second.readEvent())
                #expect(try begin.json().string("stage") == "queued")
                while try await second.readEvent()?.name != "partial_image" {}
                try await visit.write(SamplePicture.completed)
                try await visit.close()
                #expect(try await second.readEvents().last?.name == "completed")
            }
        }

        @Test func aRefusedRequestDoesNotTakeTheKey() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                let key = "Idempotency-Key: one\r\n"
                for bad in ["{", #"{"prompt": ""}"#, #"{"prompt": "a lake", "n": 99}"#] {
                    #expect(try await gateway.send("POST", "/v1/generate", headers: key, json: bad).head.status == 400)
                }
                #expect(try await gateway.send("POST", "/v1/generate", headers: key, json: Self.ask).head.status == 200)
                #expect(upstream.count == 1)
                for bad in ["", "a b", String(repeating: "k", count: 256), "a\r\nIdempotency-Key: b"] {
                    let (head, body) = try await gateway.send(
                        "POST", "/v1/generate", headers: "Idempotency-Key: \(bad)\r\n", json: Self.ask)
                    #expect(head.status == 400, "\(bad.prefix(20))")
                    #expect(try JSONObject(body).string("error.param") == "Idempotency-Key")
                }
                #expect(upstream.count == 1)
            }
        }

        @Test func anAsynchronousJobIsFoundAgain() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                var jobs: Set<String?> = []
                for _ in 0..<3 {
                    let (head, _) = try await gateway.send(
                        "POST", "/v1/generate", headers: "Idempotency-Key: one\r\nPrefer: respond-async\r\n",
                        json: Self.ask)
                    #expect(head.status == 202)
                    jobs.insert(head["x-safelight-job-id"])
                }
                #expect(jobs.count == 1)
                let answer = try await gateway.send(
                    "POST", "/v1/generate", headers: "Idempotency-Key: one\r\n", json: Self.ask)
                #expect(try JSONObject(answer.body).string("images.0.b64_json") == SamplePicture.png)
                #expect(upstream.count == 1)
            }
        }
    }
}
