import Foundation
import GatewayTesting
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// The ways a client leaves, and what becomes of its job.
    @Suite struct Disconnects {
        private static let ask = #"{"prompt": "a lake", "stream": true, "partial_images": 3}"#
        private static let wait = #"{"prompt": "a lake"}"#

        enum Leaving: CaseIterable, Sendable {
            case closing, halfClosing, resetting

            func leave(_ client: StreamingClient) async throws {
                switch self {
                case .closing: try await client.close()
                case .halfClosing: try await client.halfClose()
                case .resetting: try await client.reset()
                }
            }
        }

        private static func file(_ upstream: ScriptedUpstream, _ policy: String) -> String {
            LiveFile.file(upstream: upstream.url, defaults: #", "on_disconnect": "\#(policy)""#, routes: LiveFile.both)
        }

        /// However it leaves and however far the answer is, the upstream's connection goes too.
        @Test(arguments: Leaving.allCases, ["/v1/generate", "/v1/images/generations"])
        func cancelReachesTheUpstream(_ leaving: Leaving, _ path: String) async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: Self.file(upstream, "cancel"))) { gateway in
                for (ask, readsHead) in [(Self.ask, true), (Self.ask, false), (Self.wait, true), (Self.wait, false)] {
                    let client = try await gateway.connect()
                    try await client.post(path, json: ask)
                    let visit = try await upstream.next()
                    if readsHead {
                        try await visit.write(ScriptedUpstream.eventsHead + "\r\n" + SamplePicture.partial)
                        _ = try await client.readHead()
                    }
                    try await leaving.leave(client)
                    try await visit.waitForClose()
                    try await gateway.wait {
                        $0.jobs == 0 && $0.streams == 0 && $0.connections == 0 && $0.upstream_calls == 0
                    }
                }
                try await gateway.wait { $0.holdsOnlyFinishedJobs }
            }
        }

        @Test func continuedJobsRunToTheirEnd() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: Self.file(upstream, "continue"))) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                try await visit.write(ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n" + SamplePicture.partial)
                _ = try await client.readHead()
                try await client.close()
                try await gateway.wait { $0.connections == 0 && $0.streams == 0 }
                #expect(try await gateway.gauges().jobs == 1)
                #expect(visit.isOpen)
                try await visit.write(SamplePicture.completed)
                try await visit.close()
                try await gateway.wait { $0.jobs == 0 && $0.holdsOnlyFinishedJobs }
            }
        }

        @Test func aGraceEndsTheJobOnlyWhenItIsOver() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: Self.file(upstream, "1s"))) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                _ = try await client.readHead()
                try await client.close()
                try await gateway.wait { $0.streams == 0 }
                #expect(try await gateway.gauges().jobs == 1)
                try await visit.waitForClose()
                try await gateway.wait { $0.jobs == 0 }
            }
        }

        /// Nobody has to watch a job that was only submitted: asking for its state is enough, and so is nothing.
        @Test func aSubmittedJobIsNotTakenForAbandoned() async throws {
            let file = """
                "storage": {"images": {"disk": "pictures"}},
                "upstreams": {"lab": {"provider": "queue", "preset": "stages", "base_url": "simulator:"}},
                "routes": [{"mount": "/api", "dialect": "stages", "upstreams": ["lab"], "auth": "public",
                  "public_without_limits": true, "on_disconnect": "cancel"}]
                """
            var settings = LiveGateway.Settings(file: file)
            settings.withSimulator = true
            try await LiveGateway.run(settings) { gateway in
                let client = try await gateway.connect()
                try await client.post("/api/generate", json: #"{"prompt": "a lake [sim duration=300ms]"}"#)
                #expect(try await client.readHead().status == 200)
                let job = try #require(try JSONObject(try await client.readBody()).string("job_id"))
                var status = ""
                while status != "completed" {
                    try #require(!["cancelled", "failed"].contains(status), "the job is \(status)")
                    try await client.write("GET /api/jobs/\(job) HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try await client.readHead().status == 200)
                    status = try JSONObject(try await client.readBody()).string("status") ?? "none"
                }
            }
        }
    }

    /// Clients that take their answers slowly, or not at all.
    @Suite struct SlowClients {
        /// Several megabytes of previews, as one upstream answer.
        private static func flood(_ megabytes: Int) -> String {
            let picture = SamplePicture.png.prefix(64) + String(repeating: "A", count: 1 << 20)
            return (0..<megabytes).map { index in
                SamplePicture.event("partial_image", #","partial_image_index":\#(index)"#)
                    .replacingOccurrences(of: SamplePicture.png, with: picture)
            }.joined()
        }

        private static func settings(_ upstream: ScriptedUpstream) -> LiveGateway.Settings {
            var settings = LiveGateway.Settings(
                file: LiveFile.file(
                    upstream: upstream.url, defaults: #", "on_disconnect": "cancel""#, routes: LiveFile.unified))
            settings.server = #""drain": "0s", "write_stall": "1s""#
            return settings
        }

        private static let ask = #"{"prompt": "a lake", "stream": true, "partial_images": 3}"#

        @Test func aClientThatTakesNothingIsLetGo() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let client = try await gateway.connect(receiveBuffer: 4096)
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                try await visit.write(ScriptedUpstream.eventsHead + "\r\n")
                visit.writeWithoutWaiting(Self.flood(12))
                try await visit.waitForClose()
                try await gateway.wait { $0.connections == 0 && $0.jobs == 0 && $0.holdsOnlyFinishedJobs }
                withExtendedLifetime(client) {}
            }
        }

        /// Another stream's heartbeats are the clock: at each the client takes a megabyte and the upstream brings two, so that
        /// the gateway's buffers are always as full as they get.
        @Test func aClientThatTakesLittleAtATimeIsNot() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream)) { gateway in
                let clock = try await gateway.connect()
                try await clock.post("/v1/generate", json: Self.ask)
                _ = try await upstream.next()
                _ = try await clock.readHead()
                let client = try await gateway.connect(receiveBuffer: 64 << 10)
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                try await visit.write(ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n")
                visit.writeWithoutWaiting(Self.flood(8))
                _ = try await client.readHead()
                var beats = 0
                while beats < 30, let item = try await clock.readItem() {
                    guard case .comment = item else { continue }
                    beats += 1
                    visit.writeWithoutWaiting(Self.flood(2))
                    var taken = 0
                    while taken < 1 << 20 {
                        taken += try #require(try await client.read(), "closed at beat \(beats)").readableBytes
                    }
                }
                #expect(visit.isOpen)
            }
        }
    }
}
