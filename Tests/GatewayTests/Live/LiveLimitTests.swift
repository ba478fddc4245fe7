import GatewayTesting
import ImageGeneration
import NIOCore
import Synchronization
import Testing

@testable import Gateway

extension LiveTests {
    /// Limits from the first byte of a request to the end of its job.
    @Suite struct Limits {
        private static let ask = #"{"prompt": "a lake"}"#
        private static let stream = #"{"prompt": "a lake", "stream": true}"#
        private static let head = ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n"
        private static let picture = ScriptedUpstream.answer(
            "200 OK", #"{"created": 1, "data": [{"b64_json": "\#(SamplePicture.png)"}]}"#)

        /// All routes have the limits `p`.
        private static func settings(
            _ upstream: String, _ limits: String, more: String = "", server: String = ""
        ) -> LiveGateway.Settings {
            var settings = LiveGateway.Settings(
                file: LiveFile.file(
                    upstream: upstream, upstreamMembers: #", "retry": {"attempts": 1}, "breaker": {"failures": 0}"#,
                    defaults: #", "limits": ["p"]"#,
                    more: #", "limits": {"p": [\#(limits)]}\#(more)"#,
                    routes: LiveFile.both + #", {"path": "/v1/lines", "dialect": "ndjson"}"#))
            settings.server += server
            return settings
        }

        /// A clock that stands until it is set.
        private final class SetClock: Sendable {
            let steady = Atomic<Int64>(1_000_000_000_000)
            let wall = Atomic<Int64>(1_795_262_400_000)

            func advance(seconds: Int64) {
                self.steady.add(seconds * 1_000_000_000, ordering: .relaxed)
                self.wall.add(seconds * 1000, ordering: .relaxed)
            }

            func use(in settings: inout LiveGateway.Settings) {
                settings.steady = { self.steady.load(ordering: .relaxed) }
                settings.now = { Timestamp(milliseconds: self.wall.load(ordering: .relaxed)) }
            }
        }

        // MARK: Refusals

        @Test func tellsWhereAClientStandsAndRefusesInTheDialectsForm() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            var settings = Self.settings(upstream.url, #"{"per": "ip", "requests": "60/min", "burst": 2}"#)
            SetClock().use(in: &settings)
            try await LiveGateway.run(settings) { gateway in
                for remaining in [1, 0] {
                    let (head, _) = try await gateway.send("POST", "/v1/generate", json: Self.ask)
                    #expect(head.status == 200)
                    #expect(head["ratelimit-policy"] == #""p.requests.ip.min";q=60;w=60"#)
                    #expect(head["ratelimit"] == #""p.requests.ip.min";r=\#(remaining);t=\#(2 - remaining)"#)
                    #expect(head["x-ratelimit-limit-requests"] == nil)
                }
                for (path, part) in [
                    ("/v1/generate", #""code":"rate_limited""#), ("/v1/lines", #""code":"rate_limited""#),
                    ("/v1/images/generations", #""code":"rate_limit_exceeded""#),
                ] {
                    let (head, body) = try await gateway.send("POST", path, json: Self.ask)
                    #expect(head.status == 429)
                    #expect(head["retry-after"] == "1" && head["retry-after-ms"] == "1000")
                    #expect(head["ratelimit"] == #""p.requests.ip.min";r=0;t=2"#)
                    #expect(String(buffer: body).contains(part))
                    #expect((head["x-ratelimit-reset-requests"] == "2s") == (path == "/v1/images/generations"))
                }
                #expect(upstream.count == 2)
                #expect(try await gateway.gauges().limits.refused == 3)
            }
        }

        /// A client that is refused is not asked for its body first.
        @Test func refusesBeforeTheBody() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            try await LiveGateway.run(Self.settings(upstream.url, #"{"per": "global", "requests": "1/hour"}"#)) {
                gateway in
                _ = try await gateway.send("POST", "/v1/generate", json: Self.ask)
                let client = try await gateway.connect()
                try await client.write(
                    "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        + "Content-Length: 1000000\r\n\r\n{")
                let head = try await client.readHead()
                #expect(head.status == 429 && head["connection"] == "close")
            }
        }

        /// A refusal takes nothing from the connection: its next request is served.
        @Test func aRefusedConnectionGoesOn() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            try await LiveGateway.run(Self.settings(upstream.url, #"{"per": "global", "requests": "1/hour"}"#)) {
                gateway in
                let client = try await gateway.connect()
                for status in [200, 429, 429] {
                    // The body comes behind the head, as many clients send it.
                    let request = StreamingClient.request("/v1/generate", json: Self.ask)
                    let end = try #require(request.utf8.firstRange(of: Array("\r\n\r\n".utf8)))
                    try await client.write(String(request[..<end.upperBound]))
                    try await client.write(Self.ask)
                    let head = try await client.readHead()
                    #expect(head.status == status)
                    #expect(head["connection"] != "close")
                    _ = try await client.readBody()
                }
            }
        }

        @Test func aQuotaOfADayTellsWhenTheDayEnds() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            var settings = Self.settings(upstream.url, #"{"per": "ip", "images": "1/day"}"#)
            let clock = SetClock()
            clock.use(in: &settings)
            try await LiveGateway.run(settings) { gateway in
                func ask() async throws -> StreamingClient.Head {
                    try await gateway.send("POST", "/v1/images/generations", json: Self.ask).head
                }
                let first = try await ask()
                #expect(first.status == 200)
                let refused = try await ask()
                #expect(refused.status == 429)
                #expect(refused["retry-after"] == "43200")
                #expect(refused["x-ratelimit-remaining-images"] == "0")
                clock.advance(seconds: 43_200)
                let next = try await ask()
                #expect(next.status == 200)
            }
        }

        /// 400: no waiting would help. Every rule is as it was.
        @Test func aRequestThatCanNeverPassIsNotToldToWait() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            let limits = #"{"per": "ip", "images": "10/min", "burst": 2}, {"per": "ip", "cost": "5/hour"}"#
            let more = #", "costs": {"image": {"*/high": 5.5}}"#
            try await LiveGateway.run(Self.settings(upstream.url, limits, more: more)) { gateway in
                for (json, words) in [
                    (#"{"prompt": "x", "n": 3}"#, "takes 3 images; p.images.ip.min never lets more than 2"),
                    (
                        #"{"prompt": "x", "quality": "high"}"#,
                        "takes 5.5 cost units; p.cost.ip.hour never lets more than 5"
                    ),
                ] {
                    let (head, body) = try await gateway.send("POST", "/v1/generate", json: json)
                    #expect(head.status == 400 && head["retry-after"] == nil)
                    #expect(String(buffer: body).contains(words))
                }
                let (head, _) = try await gateway.send("POST", "/v1/generate", json: Self.ask)
                #expect(head["ratelimit"]?.contains(#""p.images.ip.min";r=1;"#) == true)
                #expect(upstream.count == 1)
            }
        }

        @Test func shadowRulesReportAndLetPass() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            let log = RecordingLog()
            var settings = Self.settings(upstream.url, #"{"per": "ip", "requests": "1/hour", "shadow": true}"#)
            settings.logger = log.logger
            try await LiveGateway.run(settings) { gateway in
                for _ in 0..<3 {
                    let (head, _) = try await gateway.send("POST", "/v1/generate", json: Self.ask)
                    #expect(head.status == 200)
                }
                let gauges = try await gateway.gauges()
                #expect(gauges.limits.shadow_refused == 2)
                await log.wait(for: "limit would refuse")
            }
        }

        // MARK: What a job gives back

        struct Ending: Sendable, CustomTestStringConvertible {
            let name: String
            /// Nil: nobody listens.
            let answer: String?
            let status: Int
            /// Requests and images that are left of ten each.
            let remaining: [Int]
            var testDescription: String { self.name }

            init(_ name: String, _ answer: String?, _ status: Int, _ remaining: [Int]) {
                (self.name, self.answer, self.status, self.remaining) = (name, answer, status, remaining)
            }
        }

        private static let endings = [
            Ending("a picture", picture, 200, [8, 8]), Ending("nobody was asked", nil, 502, [9, 9]),
            Ending("cut off", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", 502, [8, 8]),
            Ending(
                "refused prompt",
                ScriptedUpstream.answer(
                    "400 Bad Request", #"{"error": {"message": "No.", "code": "moderation_blocked"}}"#),
                400, [8, 8]),
            Ending(
                "busy", ScriptedUpstream.answer("429 Too Many Requests", #"{"error": {"message": "Later."}}"#), 503,
                [8, 9]),
        ]

        @Test(arguments: endings) func chargesForWhatWasUsed(_ ending: Ending) async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(ending.answer ?? "") }
            let url = ending.answer == nil ? "http://127.0.0.1:1/v1" : upstream.url
            let limits =
                #"{"per": "ip", "requests": "10/hour"}, {"per": "ip", "images": "10/day"}, {"per": "ip", "concurrent": 1}"#
            var settings = Self.settings(url, limits)
            SetClock().use(in: &settings)
            try await LiveGateway.run(settings) { gateway in
                var last: StreamingClient.Head?
                for _ in 0..<2 {
                    last = try await gateway.send("POST", "/v1/images/generations", json: Self.ask).head
                    #expect(last?.status == ending.status)
                    #expect(try await gateway.gauges().limits.permits == 0)
                }
                let shown = ["requests", "images"].map { last?["x-ratelimit-remaining-\($0)"].flatMap { Int($0) } }
                #expect(shown == ending.remaining)
            }
        }

        @Test func whatIsNoJobOfItsOwnIsNotCharged() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.head + SamplePicture.completed) }
            let limits =
                #"{"per": "ip", "requests": "1/hour"}, {"per": "ip", "images": "1/day"}, {"per": "ip", "concurrent": 1}"#
            try await LiveGateway.run(Self.settings(upstream.url, limits)) { gateway in
                let key = "Idempotency-Key: one\r\n"
                let first = try await gateway.send("POST", "/v1/generate", headers: key, json: Self.stream)
                #expect(first.head.status == 200)
                let job = try #require(first.head["x-safelight-job-id"])
                for _ in 0..<3 {
                    let again = try await gateway.send("POST", "/v1/generate", headers: key, json: Self.stream)
                    #expect(again.head.status == 200 && again.head["x-safelight-job-id"] == job)
                }
                let resumed = try await gateway.send(
                    "POST", "/v1/generate", headers: "Last-Event-ID: \(job).1\r\n", json: Self.stream)
                #expect(resumed.head.status == 200 || resumed.head.status == 204)
                #expect(resumed.head["x-safelight-job-id"] == job)
                #expect(try await gateway.send("POST", "/v1/generate", json: Self.ask).head.status == 429)
                #expect(upstream.count == 1)
            }
        }

        @Test func aMistakeUsesItsTurnAndNoMore() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            let limits = #"{"per": "ip", "requests": "3/hour"}, {"per": "ip", "images": "1/day"}"#
            try await LiveGateway.run(Self.settings(upstream.url, limits)) { gateway in
                for (json, status) in [("{", 400), (#"{"prompt": 1}"#, 400), (Self.ask, 200), ("{", 429)] {
                    let (head, _) = try await gateway.send("POST", "/v1/generate", json: json)
                    #expect(head.status == status)
                }
            }
        }

        // MARK: Permits

        @Test func aPermitIsHeldUntilTheJobsEnd() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream.url, #"{"per": "ip", "concurrent": 1}"#)) { gateway in
                for round in 0..<6 {
                    let client = try await gateway.connect()
                    try await client.post("/v1/generate", json: Self.stream)
                    let visit = try await upstream.next()
                    let head = try await client.readHead()
                    let job = try #require(head["x-safelight-job-id"])
                    #expect(head["ratelimit"] == #""p.concurrent.ip";r=0"#)
                    let (refused, _) = try await gateway.send("POST", "/v1/generate", json: Self.ask)
                    #expect(refused.status == 429 && refused["retry-after"] == "1")
                    // The client goes, the job stays: so does its permit.
                    if round % 2 == 0 { try await client.close() }
                    #expect(try await gateway.gauges().limits.permits == 1)
                    switch round % 3 {
                    case 0: try await visit.finish(Self.head + SamplePicture.completed)
                    case 1: try await visit.close()
                    default: _ = try await gateway.send("DELETE", "/v1/jobs/\(job)")
                    }
                    try await gateway.wait { $0.limits.permits == 0 }
                }
            }
        }

        /// Who hears of the end finds the permit free.
        @Test func theNextRequestFindsThePermitFree() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.head + SamplePicture.completed) }
            try await LiveGateway.run(Self.settings(upstream.url, #"{"per": "ip", "concurrent": 1}"#)) { gateway in
                for _ in 0..<50 {
                    let (head, _) = try await gateway.send("POST", "/v1/generate", json: Self.stream)
                    #expect(head.status == 200)
                }
            }
        }

        // MARK: Whose use it is

        @Test func clientsBehindAProxyOfOursAreToldApart() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            let trusting = Self.settings(
                upstream.url, #"{"per": "ip", "requests": "1/hour"}"#, server: #", "trusted_proxies": ["127.0.0.1"]"#)
            try await LiveGateway.run(trusting) { gateway in
                for (field, status) in [
                    ("X-Forwarded-For: 198.51.100.1", 200), ("X-Forwarded-For: 203.0.113.1, 198.51.100.1", 429),
                    ("X-Forwarded-For: 198.51.100.2", 200), ("Forwarded: for=198.51.100.2", 429),
                    // Of IPv6 a /64 counts as one.
                    ("Forwarded: for=\"[2001:db8::1]\"", 200), ("Forwarded: for=\"[2001:db8::2]:80\"", 429),
                    ("Forwarded: for=\"[2001:db8:0:1::2]\"", 200),
                ] {
                    let (head, _) = try await gateway.send(
                        "POST", "/v1/generate", headers: field + "\r\n", json: Self.ask)
                    #expect(head.status == status, "\(field)")
                }
            }
        }

        @Test func aStrangersHeadersCountForNothing() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            try await LiveGateway.run(Self.settings(upstream.url, #"{"per": "ip", "requests": "1/hour"}"#)) { gateway in
                var admitted = 0
                for field in ["X-Forwarded-For: 1.1.1.1", "Forwarded: for=2.2.2.2", "X-Real-IP: 3.3.3.3", "X-A: b"] {
                    let (head, _) = try await gateway.send(
                        "POST", "/v1/generate", headers: field + "\r\n", json: Self.ask)
                    admitted += head.status == 200 ? 1 : 0
                }
                #expect(admitted == 1)
            }
        }

        // MARK: Clocks and reloads

        @Test(arguments: [Int64(3600), -3600]) func aDateThatIsSetChangesNoRate(_ jump: Int64) async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            var settings = Self.settings(upstream.url, #"{"per": "ip", "requests": "1/min"}"#)
            let clock = SetClock()
            clock.use(in: &settings)
            try await LiveGateway.run(settings) { gateway in
                func ask() async throws -> Int {
                    try await gateway.send("POST", "/v1/generate", json: Self.ask).head.status
                }
                var statuses = [try await ask()]
                clock.wall.add(jump * 1000, ordering: .relaxed)
                statuses.append(try await ask())
                clock.advance(seconds: 60)
                statuses.append(try await ask())
                #expect(statuses == [200, 429, 200])
            }
        }

        @Test func whatWasUsedOutlivesAReload() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            let log = RecordingLog()
            let first = #"{"per": "ip", "requests": "1/hour"}"#
            var settings = Self.settings(upstream.url, first)
            settings.logger = log.logger
            try await LiveGateway.run(settings) { gateway in
                func ask() async throws -> Int {
                    try await gateway.send("POST", "/v1/generate", json: Self.ask).head.status
                }
                func reload(_ limits: String) async throws {
                    let next = Self.settings(upstream.url, limits)
                    try gateway.rewrite(next.text)
                    await log.wait(for: "routes.json reloaded")
                }
                #expect(try await ask() == 200)
                try await reload(first + #", {"per": "ip", "images": "100/day"}"#)
                #expect(try await ask() == 429)
                try await reload(#"{"per": "ip", "requests": "2/hour"}"#)
                #expect(try await ask() == 200, "another rule counts anew")
            }
        }

        // MARK: Pages

        @Test func pagesOfAllowedOriginsReadEveryAnswer() async throws {
            let upstream = try await CountingUpstream { try? await $0.finish(Self.picture) }
            let settings = Self.settings(
                upstream.url, #"{"per": "ip", "requests": "1/hour"}"#,
                server: #", "cors": {"origins": ["https://app.example"]}"#)
            try await LiveGateway.run(settings) { gateway in
                let origin = "Origin: https://app.example\r\n"
                for (method, path, json, status) in [
                    ("POST", "/v1/generate", Self.ask, 200), ("POST", "/v1/generate", Self.ask, 429),
                    ("GET", "/v1/generate", nil, 405), ("GET", "/v1/jobs/x", nil, 404), ("GET", "/nothing", nil, 404),
                ] as [(String, String, String?, Int)] {
                    let (head, _) = try await gateway.send(method, path, headers: origin, json: json)
                    #expect(head.status == status)
                    #expect(head["access-control-allow-origin"] == "https://app.example")
                    #expect(head["vary"] == "Origin")
                }
                let preflight = try await gateway.send(
                    "OPTIONS", "/v1/generate", headers: origin + "Access-Control-Request-Method: POST\r\n")
                #expect(preflight.head.status == 204)
                #expect(preflight.head["access-control-allow-methods"] == "GET, HEAD, POST, PUT, DELETE")
                let foreign = try await gateway.send(
                    "OPTIONS", "/v1/generate",
                    headers: "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n")
                #expect(foreign.head.status == 405)
                #expect(foreign.head["access-control-allow-origin"] == nil)
            }
        }
    }
}
