import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// Clients that lose their connection and come back.
    @Suite struct Resuming {
        private static let ask = #"{"prompt": "a lake", "stream": true, "partial_images": 3, "n": 10}"#

        private static func settings(_ upstream: ScriptedUpstream) -> LiveGateway.Settings {
            .init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.both))
        }

        /// A job of more than 50 events: ten pictures, four previews each.
        private static func frames(previews: Int = 4) -> [String] {
            (0..<10).flatMap { image in
                (0..<previews).map { number in
                    SamplePicture.event(
                        "partial_image", #","partial_image_index":\#(number),"image_index":\#(image)"#)
                } + [SamplePicture.event("completed", #","image_index":\#(image)"# + SamplePicture.usage)]
            }
        }

        private static let head = ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n"

        private static func sequence(_ event: StreamingClient.Event) -> UInt64 {
            event.id.flatMap { EventID($0) }?.sequence.rawValue ?? 0
        }

        /// What a late reader is still told: the newest stage event of a stage, no preview of a finished picture.
        private static func retained(_ events: [StreamingClient.Event]) throws -> [StreamingClient.Event] {
            var stages: Set<String> = []
            var pictures: Set<Int> = []
            return try events.reversed().filter { event in
                let value = try event.json()
                switch event.name {
                case "stage": return stages.insert(value.string("stage") ?? "").inserted
                case "partial_image": return pictures.insert(value.integer("image_index") ?? -1).inserted
                case "image":
                    pictures.insert(value.integer("image_index") ?? -1)
                    return true
                default: return true
                }
            }.reversed()
        }

        private static func same(_ left: [StreamingClient.Event], _ right: [StreamingClient.Event]) -> Bool {
            left.map(\.id) == right.map(\.id) && left.map(\.data) == right.map(\.data)
                && left.map(\.name) == right.map(\.name)
        }

        /// A1, A5: from every event on, the rest comes as it came the first time.
        @Test(arguments: [0, 4]) func fromEveryPosition(_ previews: Int) async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                let job = try #require(try await client.readHead()["x-safelight-job-id"])
                try await visit.write(Self.head)
                var all: [StreamingClient.Event] = []
                for frame in Self.frames(previews: previews) {
                    try await visit.write(frame)
                    // A reader that keeps up is told every preview.
                    repeat { all.append(try #require(try await client.readEvent())) } while all.last?.name == "stage"
                }
                try await visit.close()
                all += try await client.readEvents()
                #expect(all.filter { $0.name == "image" }.count == 10)
                #expect(previews == 0 || all.count > 50)
                for event in all {
                    let id = try #require(event.id)
                    #expect(id.utf8.count <= 128 && id.hasPrefix(job + "."))
                    #expect(id.utf8.allSatisfy { $0 < 0x80 && ($0 == 0x2E || $0 == 0x5F || isalnum(Int32($0)) != 0) })
                }
                let sequences = all.map(Self.sequence)
                #expect(zip(sequences, sequences.dropFirst()).allSatisfy { $0 < $1 })
                let left = try Self.retained(all)
                #expect(Self.same(try await gateway.events(job).events, left))
                for position in all.dropLast() {
                    let (head, events) = try await gateway.events(job, lastEventID: position.id)
                    #expect(head.status == 200)
                    #expect(events.first?.retry.flatMap { Int($0) }.map { (1000...4000).contains($0) } == true)
                    let expected = left.filter { Self.sequence($0) > Self.sequence(position) }
                    #expect(Self.same(events, expected), "behind \(position.id ?? "")")
                }
                // A6: who has seen it all need not come back.
                let (head, events) = try await gateway.events(job, lastEventID: all.last?.id)
                #expect(head.status == 204 && events.isEmpty)
            }
        }

        /// A2: the connection breaks anywhere, in the middle of an event too, while the job goes on.
        @Test func afterACutAnywhere() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                var random = SplitMix(seed: 1)
                for _ in 0..<Soak.count(12, full: 500) {
                    let client = try await gateway.connect()
                    try await client.write(
                        "POST /v1/generate HTTP/1.0\r\nContent-Type: application/json\r\n"
                            + "Content-Length: \(Self.ask.utf8.count)\r\n\r\n\(Self.ask)")
                    let visit = try await upstream.next()
                    let frames = Self.frames()
                    let early = Int(random.next() % UInt64(frames.count))
                    try await visit.write(Self.head + frames[..<early].joined())
                    let job = try #require(try await client.readHead()["x-safelight-job-id"])
                    var seen = ""
                    let cut = Int(random.next() % 20_000)
                    while seen.utf8.count < min(cut, 200 + early * 400), let piece = try await client.readPiece() {
                        seen += String(buffer: piece)
                    }
                    try await client.close()
                    seen = String(decoding: seen.utf8.prefix(cut), as: UTF8.self)
                    let before = Self.wholeEvents(seen)
                    async let rest = gateway.events(job, lastEventID: before.last ?? nil)
                    try await visit.finish(frames[early...].joined())
                    let after = try await rest.events
                    let ids = before.compactMap { $0 } + after.compactMap(\.id)
                    let sequences = ids.compactMap { EventID($0)?.sequence.rawValue }
                    #expect(sequences.count == before.count + after.count)
                    #expect(zip(sequences, sequences.dropFirst()).allSatisfy { $0 < $1 })
                    #expect(after.last?.name == "completed")
                    // Nothing that a late reader would still be told is missing.
                    let left = try await gateway.events(job).events
                    #expect(left.filter { $0.name == "image" }.count == 10)
                    #expect(left.allSatisfy { ids.contains($0.id ?? "") || $0.name == "stage" })
                }
            }
        }

        /// Ids of the events whose blank line has come.
        private static func wholeEvents(_ text: String) -> [String?] {
            text.components(separatedBy: "\n\n").dropLast().map { block in
                block.split(separator: "\n").first { $0.hasPrefix("id: ") }.map { String($0.dropFirst(4)) }
            }
        }

        private struct SplitMix: RandomNumberGenerator {
            var seed: UInt64
            mutating func next() -> UInt64 {
                self.seed &+= 0x9E37_79B9_7F4A_7C15
                var z = self.seed
                z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
                z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
                return z ^ (z >> 31)
            }
        }

        /// A finished job of one picture.
        private static func finished(
            _ gateway: LiveGateway, _ upstream: ScriptedUpstream
        ) async throws -> (job: String, events: [StreamingClient.Event]) {
            let client = try await gateway.connect()
            try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true}"#)
            let visit = try await upstream.next()
            let job = try #require(try await client.readHead()["x-safelight-job-id"])
            try await visit.finish(Self.head + SamplePicture.completed)
            return (job, try await client.readEvents())
        }

        /// A3
        @Test func theHeaderWins() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let (job, events) = try await Self.finished(gateway, upstream)
                let (first, last) = (try #require(events.first?.id), try #require(events.last?.id))
                for _ in 0..<20 {
                    let rest = try await gateway.events(job, query: "?last_event_id=\(last)", lastEventID: first)
                    #expect(rest.head.status == 200)
                    #expect(rest.events.last?.name == "completed")
                }
                #expect(
                    try await gateway.events(job, query: "?last_event_id=\(first)", lastEventID: last).head.status
                        == 204)
                #expect(try await gateway.events(job, query: "?last_event_id=\(last)").head.status == 204)
                #expect(
                    try await gateway.events(job, query: "?last_event_id=\(first)").events.count == events.count - 1)
                #expect(try await gateway.events(job, query: "?last_event_id=").events.first?.id == first)
            }
        }

        /// A4
        @Test func whatCannotBeContinuedBeginsWithAGap() async throws {
            let schema = try SchemaValidator.events()
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let (job, events) = try await Self.finished(gateway, upstream)
                let (other, _) = try await Self.finished(gateway, upstream)
                let last = try #require(events.last?.id.flatMap { EventID($0) })
                let id = try #require(JobID(job))
                let beyond = EventSequence(rawValue: last.sequence.rawValue + 1)
                let before = EventSequence(epoch: last.sequence.epoch &- 1, number: 1)
                let cases: [(String, String)] = [
                    ("nonsense", "unknown_id"), ("5", "unknown_id"), ("\(job).", "unknown_id"),
                    ("\(other).\(last.sequence.rawValue)", "unknown_id"),
                    (EventID(job: id, sequence: beyond).description, "unknown_id"),
                    (EventID(job: id, sequence: before).description, "restarted"),
                    (String(repeating: "x", count: 5000), "unknown_id"),
                ]
                for (position, reason) in cases {
                    let (head, resumed) = try await gateway.events(job, lastEventID: position)
                    #expect(head.status == 200)
                    let gap = try #require(resumed.first)
                    #expect(gap.name == "gap" && gap.id == nil, "\(position.prefix(40))")
                    #expect(schema.problems(in: gap.data.utf8) == [])
                    #expect(try gap.json().string("reason") == reason)
                    #expect(try gap.json().string("snapshot.status") == "completed")
                    let left = try Self.retained(events)
                    #expect(try gap.json().integer("oldest_seq").map { UInt64($0) } == left.first.map(Self.sequence))
                    #expect(Self.same(Array(resumed.dropFirst()), left))
                }
                let unknown = try await gateway.send("GET", "/v1/jobs/\(JobID().text)/events")
                #expect(unknown.head.status == 404)
                #expect(unknown.head["content-type"] == "application/problem+json")
            }
        }

        /// A7: many readers of one job that come and go see the same.
        @Test func manyReadersSeeTheSame() async throws {
            let readers = Soak.count(20, full: 100)
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                try await visit.write(Self.head)
                let job = try #require(try await client.readHead()["x-safelight-job-id"])
                try await withThrowingTaskGroup(of: [String].self) { group in
                    for reader in 0..<readers {
                        group.addTask {
                            var pictures: [String] = []
                            var position: String?
                            for round in 1... {
                                let client = try await gateway.connect()
                                let header = position.map { "Last-Event-ID: \($0)\r\n" } ?? ""
                                try await client.write(
                                    "GET /v1/jobs/\(job)/events HTTP/1.1\r\nHost: x\r\n\(header)\r\n")
                                _ = try await client.readHead()
                                // Leaves after some events, later each time.
                                for _ in 0..<(round * 3 + reader % 5) {
                                    guard let event = try await client.readEvent() else { return pictures }
                                    position = event.id
                                    if event.name == "image" || event.name == "completed" {
                                        pictures.append((event.id ?? "") + event.data)
                                    }
                                    if event.name == "completed" { return pictures }
                                }
                                try await client.close()
                            }
                            return pictures
                        }
                    }
                    for frame in Self.frames(previews: 1) { try await visit.write(frame) }
                    try await visit.close()
                    var all: [[String]] = []
                    for try await pictures in group { all.append(pictures) }
                    #expect(all.count == readers && all[0].count == 11)
                    #expect(all.allSatisfy { $0 == all[0] })
                }
                #expect(try await client.readEvents().last?.name == "completed")
            }
        }

        @Test func aPostThatNamesAnEventGoesOnWithItsJob() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let (job, events) = try await Self.finished(gateway, upstream)
                let first = try #require(events.first?.id)
                let client = try await gateway.connect()
                for body in [Self.ask, "{}", ""] {
                    try await client.post("/v1/generate", json: body, headers: "Last-Event-ID: \(first)\r\n")
                    let head = try await client.readHead()
                    #expect(head.status == 200 && head["x-safelight-job-id"] == job)
                    let left = try Self.retained(events).filter { $0.id != first }
                    #expect(Self.same(try await client.readEvents(), left))
                }
                let seen = try await gateway.send(
                    "POST", "/v1/generate", headers: "Last-Event-ID: \(events.last?.id ?? "")\r\n", json: Self.ask)
                #expect(seen.head.status == 204)
                // A dialect without ids tells the job from its beginning.
                try await client.post(
                    "/v1/images/generations", json: Self.ask, headers: "Last-Event-ID: \(first)\r\n")
                #expect(try await client.readHead()["x-safelight-job-id"] == job)
                #expect(try await client.readEvents().map(\.name) == ["image_generation.completed"])
                let unknown = try await gateway.send(
                    "POST", "/v1/generate", headers: "Last-Event-ID: \(JobID().text).5\r\n", json: Self.ask)
                #expect(unknown.head.status == 404)
                // What is none of ours begins a job.
                try await client.post("/v1/generate", json: Self.ask, headers: "Last-Event-ID: 17\r\n")
                #expect(try await client.readHead()["x-safelight-job-id"] != job)
                _ = try await upstream.next()
            }
        }

        @Test func everyDialectTellsAnyJob() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let (job, events) = try await Self.finished(gateway, upstream)
                let openAI = try await gateway.events(job, query: "?dialect=openai-images")
                #expect(openAI.events.map(\.name) == ["image_generation.completed"])
                #expect(try openAI.events[0].json().string("b64_json") == SamplePicture.png)
                let lines = try await gateway.send("GET", "/v1/jobs/\(job)/events?dialect=ndjson")
                #expect(lines.head["content-type"]?.hasPrefix("application/x-ndjson") == true)
                let text = String(buffer: lines.body).split(separator: "\n").map(String.init)
                #expect(text == (try Self.retained(events)).map(\.data))
                let stages = try await gateway.events(job, query: "?dialect=stages")
                #expect(try stages.events.last?.json().string("stage") == "completed")
                let unknown = try await gateway.send("GET", "/v1/jobs/\(job)/events?dialect=morse")
                #expect(unknown.head.status == 400)
            }
        }

        /// The picture is in the store alone: its bytes come from there.
        @Test func bytesComeBackFromTheStore() async throws {
            var settings = LiveGateway.Settings(
                file: """
                    "storage": {"images": {"disk": "pictures"}},
                    "upstreams": {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}},
                    "routes": [{"path": "/v1/generate", "dialect": "unified", "upstreams": ["darkroom"], "delivery": "url",
                      "auth": "public", "public_without_limits": true}]
                    """)
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true, "size": "256x256"}"#)
                let job = try #require(try await client.readHead()["x-safelight-job-id"])
                let events = try await client.readEvents()
                let image = try #require(try events.first { $0.name == "image" }?.json())
                #expect(image.string("url") != nil && image.string("b64_json") == nil)
                try await gateway.wait { $0.jobs == 0 && $0.payload_bytes == 0 && $0.finished_jobs == 1 }
                let (_, told) = try await gateway.events(job, query: "?dialect=openai-images")
                let picture = try #require(Data(base64Encoded: try told[0].json().string("b64_json") ?? ""))
                #expect(picture.count == image.integer("file_size"))
                let preview = try await gateway.send("GET", "/v1/jobs/\(job)/previews/0")
                #expect(Data(preview.body.readableBytesView) == picture)
                try await gateway.wait { $0.payload_bytes == 0 }
            }
        }

        @Test func readersCountForTheDisconnectPolicy() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(
                upstream: upstream.url, defaults: #", "on_disconnect": "cancel""#, routes: LiveFile.unified)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true}"#)
                let visit = try await upstream.next()
                let job = try #require(try await client.readHead()["x-safelight-job-id"])
                let reader = try await gateway.connect()
                try await reader.write("GET /v1/jobs/\(job)/events HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = try await reader.readHead()
                try await client.close()
                try await gateway.wait { $0.streams == 1 }
                #expect(try await gateway.gauges().jobs == 1)
                #expect(visit.isOpen)
                try await reader.close()
                try await visit.waitForClose()
                let snapshot = try await gateway.snapshot(job) { $0.string("status") == "cancelled" }
                #expect(snapshot.string("cancelled.reason") == "disconnect")
            }
        }

        @Test func whatIsNotThereIsSaidSo() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let (job, _) = try await Self.finished(gateway, upstream)
                for (method, path, status, allow) in [
                    ("GET", "/v1/jobs", 200, nil), ("HEAD", "/v1/jobs", 200, nil),
                    ("POST", "/v1/jobs", 405, "GET, HEAD"),
                    ("HEAD", "/v1/jobs/\(job)", 200, nil), ("PUT", "/v1/jobs/\(job)", 405, "GET, HEAD, DELETE"),
                    ("HEAD", "/v1/jobs/\(job)/events", 200, nil),
                    ("DELETE", "/v1/jobs/\(job)/events", 405, "GET, HEAD"),
                    ("HEAD", "/v1/jobs/\(job)/live", 200, nil), ("HEAD", "/v1/jobs/\(job)/previews/0", 200, nil),
                    ("GET", "/v1/jobs/\(job)/previews/1", 404, nil), ("GET", "/v1/jobs/\(job)/previews/01", 404, nil),
                    ("GET", "/v1/jobs/\(job)/previews/-1", 404, nil), ("GET", "/v1/jobs/\(job)/previews", 404, nil),
                    ("GET", "/v1/jobs/\(job)/", 404, nil), ("GET", "/v1/jobs/", 404, nil),
                    ("GET", "/v1/jobs/nonsense", 404, nil), ("GET", "/v1/jobs/\(job.uppercased())", 404, nil),
                    ("GET", "/v1/jobs/\(JobID().text)", 404, nil), ("DELETE", "/v1/jobs/\(JobID().text)", 404, nil),
                    ("GET", "/v1/jobs/\(job)/live?image_index=x", 400, nil),
                    ("GET", "/v1/jobs?cursor=x", 400, nil), ("GET", "/v1/jobs?limit=0", 400, nil),
                    ("GET", "/v1/jobs?status=done", 400, nil), ("GET", "/v1/jobs?status=failed&limit=100", 200, nil),
                ] as [(String, String, Int, String?)] {
                    let (head, body) = try await gateway.send(method, path)
                    #expect(head.status == status && head["allow"] == allow, "\(method) \(path)")
                    if status >= 400, method != "HEAD" { #expect(try JSONObject(body).string("error.code") != nil) }
                }
                // Nobody has no list, whoever else asks.
                let list = try JSONObject(try await gateway.send("GET", "/v1/jobs").body)
                #expect(list.count("jobs") == 0)
            }
        }
    }
}
