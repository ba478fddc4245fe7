import NIOCore
import StreamCodecs
import Testing

@testable import Simulator

@Suite struct StagesLiveTests {
    private static let base = "/api/v1/images"

    private static func submit(
        _ client: inout LiveClient, _ json: String, headers: [(String, String)] = []
    ) async throws -> JSONNode {
        let response = try await client.post(Self.base + "/generate", json: json, headers: headers)
        #expect(response.head.status == 200)
        return try JSONDocument(response.body).root
    }

    private static func status(_ client: inout LiveClient, _ id: String) async throws -> JSONNode {
        try JSONDocument(try await client.get("\(Self.base)/jobs/\(id)").body).root
    }

    @Test func aJobIsSubmittedPolledAndFetched() async throws {
        let clock = ImpatientClock()
        try await withSimulator(time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                let accepted = try await Self.submit(
                    &client, #"{"prompt":"a shore","quality":"draft","seed":4,"aspect_ratio":"1:1","style":"photo"}"#)
                let id = try #require(accepted["job_id"]?.string)
                #expect(accepted["status"]?.string == "queued" && accepted["is_draft"]?.boolean == true)
                #expect(accepted["estimated_completion_time"]?.integer == 5)

                let queued = try await Self.status(&client, id)
                #expect(queued["status"]?.string == "queued" && queued["queue_position"]?.integer == 2)
                #expect(queued["created_at"]?.string == "2026-06-19T12:00:00.000Z")
                #expect(queued["result"]?.isNull == true && queued["started_at"]?.isNull == true)

                clock.advance(by: .milliseconds(2500))
                let working = try await Self.status(&client, id)
                #expect(working["status"]?.string == "processing" && working["current_stage"]?.string == "generating")
                #expect(working["estimated_time_remaining"]?.integer == 2)

                clock.advance(by: .seconds(2))
                let done = try await Self.status(&client, id)
                #expect(done["status"]?.string == "completed" && done["progress_percentage"]?.integer == 100)
                #expect(done["completed_at"]?.string == "2026-06-19T12:00:04.500Z")
                let image = try #require(done["result"]?["images"]?.elements.first)
                let url = try #require(image["image_url"]?.string)
                #expect(url.hasPrefix("http://simulator.test:81\(Self.base)/images/img_"))
                let file = try await client.get(String(url.dropFirst("http://simulator.test:81".count)))
                #expect(file.head.headers["content-type"] == "image/png")
                #expect(try PNGReader(file.body).width == 512)
            }
        }
    }

    @Test func aJobSurvivesARestart() async throws {
        let clock = ImpatientClock()
        let id = try await withSimulator(time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                try await Self.submit(&client, #"{"prompt":"a"}"#)["job_id"]?.string ?? ""
            }
        }
        clock.advance(by: .seconds(60))
        try await withSimulator(time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                let status = try await Self.status(&client, id)
                #expect(status["status"]?.string == "completed")
            }
        }
    }

    @Test func aStreamTellsEveryStage() async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                let response = try await client.post(
                    Self.base + "/generate/stream", json: #"{"prompt":"a","blog_id":"b1","blog_job_id":"j1"}"#)
                #expect(response.isWhole && response.head.headers["content-type"] == "text/event-stream; charset=utf-8")
                let frames = try LiveEvents(response.body).frames.compactMap(\.json)
                let stages = frames.compactMap { $0["stage"]?.string }
                var order: [String] = []
                for stage in stages where order.last != stage { order.append(stage) }
                #expect(order == ["queued", "processing", "generating", "uploading", "completed"])
                let progress = frames.compactMap { $0["progress"]?.integer }
                #expect(progress == progress.sorted() && progress.count == frames.count)
                #expect(Set(frames.compactMap { $0["job_id"]?.string }).count == 1)
                #expect(frames.allSatisfy { $0["message"]?.string?.isEmpty == false && $0["status"]?.string != nil })
                #expect(frames.allSatisfy { $0["data"]?["blog_id"]?.string == "b1" })
                #expect(frames.last?["data"]?["result"]?["images"]?.elements.count == 1)
                #expect(frames.first?["data"]?["queue_position"]?.integer == 2)
            }
        }
    }

    @Test(arguments: ["DELETE", "POST"])
    func aCancelledJobStaysCancelled(method: String) async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                let id = try #require(try await Self.submit(&client, #"{"prompt":"a"}"#)["job_id"]?.string)
                let path = "\(Self.base)/jobs/\(id)" + (method == "POST" ? "/cancel" : "")
                for _ in 0..<2 {
                    let answer = try JSONDocument(try await client.get(path, method: method).body).root
                    #expect(answer["status"]?.string == "cancelled")
                }
                #expect(try await Self.status(&client, id)["status"]?.string == "cancelled")
                let events = try LiveEvents(try await client.get("\(Self.base)/jobs/\(id)/events").body)
                #expect(events.frames.last?.json?["status"]?.string == "cancelled")
            }
        }
    }

    @Test func aFinishedJobIsNotCancelled() async throws {
        let clock = ImpatientClock()
        try await withSimulator(time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                let id = try #require(try await Self.submit(&client, #"{"prompt":"a"}"#)["job_id"]?.string)
                clock.advance(by: .seconds(60))
                let answer = try await client.get("\(Self.base)/jobs/\(id)", method: "DELETE")
                #expect(try JSONDocument(answer.body).root["status"]?.string == "completed")
            }
        }
    }

    private static let ends: [(script: String, status: String?, stage: String?)] = [
        ("fail", "failed", "error"), ("refuse=stream", "failed", "error"), ("no_terminal", "processing", "uploading"),
        ("malformed=json", nil, nil), ("malformed=event", nil, "completed"),
        ("unknown_event", "completed", "completed"),
    ]

    @Test(arguments: ends)
    func eventsEndAsScripted(script: String, status: String?, stage: String?) async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                let accepted = try await Self.submit(&client, "{\"prompt\":\"a [sim \(script)]\"}")
                let id = try #require(accepted["job_id"]?.string)
                let response = try await client.get("\(Self.base)/jobs/\(id)/events")
                let last = try LiveEvents(response.body).frames.last
                #expect(last?.json?["status"]?.string == status)
                #expect(last?.json?["stage"]?.string == stage)
            }
        }
    }

    private static let errors: [(body: String, status: Int)] = [
        ("{", 400), ("[]", 400), ("{}", 422), (#"{"prompt":5}"#, 422), (#"{"prompt":"a","aspect_ratio":"wide"}"#, 422),
        (#"{"prompt":"a","seed":"x"}"#, 422), (#"{"prompt":"a [sim refuse]"}"#, 400),
        (#"{"prompt":"a [sim status=429]"}"#, 429), (#"{"prompt":"a [sim status=500]"}"#, 500),
    ]

    @Test(arguments: errors)
    func errorsHaveADetail(body: String, status: Int) async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                let response = try await client.post(Self.base + "/generate", json: body)
                #expect(response.head.status == status)
                #expect(try JSONDocument(response.body).root["detail"]?.string?.isEmpty == false)
                #expect((response.head.headers["retry-after"] != nil) == (status == 429))
            }
        }
    }

    @Test(arguments: ["/jobs/x", "/jobs/job_AAAA", "/jobs/x/events", "/images/x.png"])
    func unknownIDsAreNotFound(path: String) async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                let response = try await client.get(Self.base + path)
                #expect(response.head.status == 404)
            }
        }
    }
}
