import Foundation
import GatewayTesting
import NIOCore
import Testing

extension LiveTests {
    @Suite struct Streams {
        private static let ask = #"{"prompt": "a lake", "stream": true, "partial_images": 2, "size": "256x256"}"#

        @Test func theFirstEventDoesNotWaitForTheUpstream() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let head = try await client.readHead()
                #expect(head.status == 200)
                #expect(head["content-type"] == "text/event-stream; charset=utf-8")
                #expect(head["cache-control"] == "no-cache, no-transform")
                #expect(head["x-accel-buffering"] == "no")
                #expect(head["x-request-id"] != nil && head["server-timing"] != nil)
                let event = try #require(try await client.readEvent())
                #expect(event.name == "stage")
                #expect(event.retry != nil)
                #expect(try event.json().string("job_id") == head["x-safelight-job-id"])
                #expect(try event.json().string("stage") == "queued")
            }
        }

        @Test func heartbeatsRunFromTheFirstByte() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.both))) {
                gateway in
                for (path, text) in [("/v1/generate", "ka"), ("/v1/images/generations", "ka")] {
                    let client = try await gateway.connect()
                    try await client.post(path, json: Self.ask)
                    let visit = try await upstream.next()
                    if path != "/v1/generate" { try await visit.write(ScriptedUpstream.eventsHead + "\r\n") }
                    _ = try await client.readHead()
                    var beats = 0
                    while beats < 3, let item = try await client.readItem() {
                        if item == .comment(text) { beats += 1 }
                    }
                    #expect(beats == 3)
                }
            }
        }

        @Test(arguments: [1, 3]) func everyEventIsAsPublished(_ count: Int) async throws {
            let schema = try SchemaValidator.events()
            var settings = LiveGateway.Settings(
                file: LiveFile.file(
                    upstream: "simulator:", defaults: #", "delivery": "inline""#, routes: LiveFile.unified))
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                let client = try await gateway.connect()
                try await client.post(
                    "/v1/generate",
                    json:
                        #"{"prompt": "a lake", "stream": true, "partial_images": 2, "n": \#(count), "size": "256x256"}"#
                )
                let head = try await client.readHead()
                let job = try #require(head["x-safelight-job-id"])
                let events = try await client.readEvents()
                for event in events { #expect(schema.problems(in: event.data.utf8) == []) }
                try Self.check(events, job: job)
                #expect(events.map(\.name).filter { $0 == "image" }.count == count)
                #expect(events.contains { $0.name == "partial_image" })
                #expect(try events.last?.json().count("images") == count)
            }
        }

        /// What holds for every stream of the unified schema.
        private static func check(_ events: [StreamingClient.Event], job: String) throws {
            let all = try events.map { try $0.json() }
            #expect(zip(events, all).allSatisfy { $0.name == $1.string("type") })
            #expect(zip(events, all).allSatisfy { $0.id == "\(job).\($1.integer("seq") ?? -1)" })
            #expect(all.allSatisfy { $0.string("job_id") == job })
            let sequence = all.compactMap { $0.integer("seq") }
            #expect(zip(sequence, sequence.dropFirst()).allSatisfy { $0 < $1 })
            let progress = all.compactMap { $0.integer("progress") }
            #expect(zip(progress, progress.dropFirst()).allSatisfy { $0 <= $1 })
            #expect(progress.dropLast().allSatisfy { $0 < 100 } && progress.last == 100)
            #expect(events.dropLast().allSatisfy { !["completed", "error", "cancelled"].contains($0.name) })
            #expect(events.last?.name == "completed")
        }

        @Test func openAIsStreamHasPreviewsThenThePicture() async throws {
            var settings = LiveGateway.Settings(file: LiveFile.file(upstream: "simulator:", routes: LiveFile.openAI))
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/images/generations", json: Self.ask)
                #expect(try await client.readHead().status == 200)
                let events = try await client.readEvents()
                #expect(
                    events.map(\.name) == [
                        "image_generation.partial_image", "image_generation.partial_image",
                        "image_generation.completed",
                    ])
                #expect(events.allSatisfy { $0.id == nil })
            }
        }

        @Test func anHTTP10ClientGetsNoChunksAndAnEnd() async throws {
            var settings = LiveGateway.Settings(file: LiveFile.file(upstream: "simulator:", routes: LiveFile.unified))
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                for stream in [true, false] {
                    let client = try await gateway.connect()
                    let ask = #"{"prompt": "a lake", "stream": \#(stream), "size": "64x64"}"#
                    try await client.write(
                        "POST /v1/generate HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
                            + "Content-Length: \(ask.utf8.count)\r\n\r\n\(ask)")
                    let head = try await client.readHead()
                    #expect(head.version == "HTTP/1.0" && head.status == 200)
                    #expect(head["transfer-encoding"] == nil)
                    #expect(head["connection"] == "close")
                    if stream {
                        #expect(try await client.readEvents().last?.name == "completed")
                    } else {
                        #expect(try JSONObject(try await client.readBody()).string("status") == "completed")
                    }
                    #expect(try await client.read() == nil)
                }
            }
        }

        @Test func aConnectionCarriesOneStreamAfterTheOther() async throws {
            var settings = LiveGateway.Settings(file: LiveFile.file(upstream: "simulator:", routes: LiveFile.unified))
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                let client = try await gateway.connect()
                for _ in 0..<3 {
                    try await client.post("/v1/generate", json: Self.ask)
                    #expect(try await client.readHead().status == 200)
                    #expect(try await client.readEvents().last?.name == "completed")
                }
                try await gateway.wait { $0.holdsOnlyFinishedJobs && $0.jobs == 0 && $0.streams == 0 }
            }
        }
    }

    /// When the status is settled, and what it can still tell.
    @Suite struct Commitment {
        private static let refusal = ScriptedUpstream.answer(
            "400 Bad Request",
            #"{"error":{"message":"The size is bad.","type":"invalid_request_error","param":"size","code":"invalid_value"}}"#
        )

        private static let ask = #"{"prompt": "a lake", "stream": true, "size": "1024x1024"}"#
        private static let wait = #"{"prompt": "a lake", "size": "1024x1024"}"#

        @Test func aRefusalBeforeTheCommitKeepsItsStatus() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.openAI))) {
                gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/images/generations", json: Self.ask)
                try await upstream.next().write(Self.refusal)
                let head = try await client.readHead()
                #expect(head.status == 400)
                #expect(head["x-safelight-job-id"] != nil)
                #expect(try JSONObject(try await client.readBody()).string("error.code") == "invalid_value")
                // The connection goes on.
                try await client.post("/v1/images/generations", json: Self.ask)
                try await upstream.next().write(Self.refusal)
                #expect(try await client.readHead().status == 400)
            }
        }

        @Test func aRefusalAfterTheCommitIsAnEvent() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(upstream: upstream.url, defaults: #", "commit": "0s""#, routes: LiveFile.openAI)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/images/generations", json: Self.ask)
                let visit = try await upstream.next()
                #expect(try await client.readHead().status == 200)
                try await visit.write(Self.refusal)
                let events = try await client.readEvents()
                #expect(events.map(\.name) == ["error"])
                #expect(try events[0].json().string("error.code") == "invalid_value")
            }
        }

        @Test func theUpstreamsOwnHeadCommits() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(upstream: upstream.url, defaults: #", "commit": "5m""#, routes: LiveFile.openAI)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/images/generations", json: Self.ask)
                let visit = try await upstream.next()
                try await visit.write(ScriptedUpstream.eventsHead + "\r\n")
                #expect(try await client.readHead().status == 200)
                try await visit.write(SamplePicture.completed)
                try await visit.close()
                #expect(try await client.readEvents().map(\.name) == ["image_generation.completed"])
            }
        }

        @Test(arguments: ["/v1/generate", "/v1/images/generations"])
        func whiteSpaceKeepsAWaitingCallAlive(_ path: String) async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.both))) {
                gateway in
                for succeeds in [true, false] {
                    let client = try await gateway.connect()
                    try await client.post(path, json: Self.wait)
                    let visit = try await upstream.next()
                    let head = try await client.readHead()
                    #expect(head.status == 200)
                    #expect(head["content-type"] == "application/json")
                    for _ in 0..<3 { #expect(try await client.readPiece() == ByteBuffer(string: " ")) }
                    let picture = #"{"created": 1, "data": [{"b64_json": "\#(SamplePicture.png)"}]}"#
                    try await visit.write(succeeds ? ScriptedUpstream.answer("200 OK", picture) : Self.refusal)
                    let answer = try JSONObject(try await client.readBody())
                    #expect((answer.string("error.code") == nil) == succeeds)
                }
            }
        }

        @Test func aFastAnswerHasItsLengthAndAFastRefusalItsStatus() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(
                upstream: upstream.url, defaults: #", "heartbeat": {"every": "10m"}"#, routes: LiveFile.unified
            ).replacingOccurrences(of: #""heartbeat": {"every": "100ms"}, "#, with: "")
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.wait)
                let picture = #"{"created": 1, "data": [{"b64_json": "\#(SamplePicture.png)"}]}"#
                try await upstream.next().write(ScriptedUpstream.answer("200 OK", picture))
                let head = try await client.readHead()
                #expect(head.status == 200 && head["content-length"] != nil)
                #expect(try JSONObject(try await client.readBody()).string("images.0.b64_json") == SamplePicture.png)
                try await client.post("/v1/generate", json: Self.wait)
                try await upstream.next().write(Self.refusal)
                #expect(try await client.readHead().status == 400)
                #expect(try JSONObject(try await client.readBody()).string("error.code") == "invalid_parameter")
            }
        }
    }
}
