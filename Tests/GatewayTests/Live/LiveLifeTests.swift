import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Synchronization
import Testing

@testable import Gateway

extension LiveTests {
    @Suite struct Draining {
        private static let ask = #"{"prompt": "a lake", "stream": true}"#

        private static func settings(_ upstream: ScriptedUpstream, drain: String) -> LiveGateway.Settings {
            var settings = LiveGateway.Settings(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.both))
            settings.server = #""drain": "\#(drain)""#
            return settings
        }

        @Test func streamsEndByThemselvesAndNothingNewBegins() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream, drain: "10m")) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: Self.ask)
                let visit = try await upstream.next()
                _ = try await client.readHead()
                let late = try await gateway.connect()
                await gateway.shutDown()
                try await gateway.waitUntilDraining()
                try await late.post("/v1/generate", json: Self.ask)
                let head = try await late.readHead()
                #expect(head.status == 503)
                #expect(head["retry-after"] != nil)
                #expect(try JSONObject(try await late.readBody()).string("error.code") == "draining")
                try await visit.finish(
                    ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n" + SamplePicture.completed)
                #expect(try await client.readEvents().last?.name == "completed")
                await client.waitForClose()
            }
        }

        @Test func whatDoesNotEndInTimeIsEndedInItsOwnForm() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream, drain: "0s")) { gateway in
                let unified = try await gateway.connect()
                try await unified.post("/v1/generate", json: Self.ask)
                let first = try await upstream.next()
                _ = try await unified.readHead()
                let openAI = try await gateway.connect()
                try await openAI.post("/v1/images/generations", json: Self.ask)
                let second = try await upstream.next()
                try await second.write(ScriptedUpstream.eventsHead + "\r\n")
                _ = try await openAI.readHead()
                let waiting = try await gateway.connect()
                try await waiting.post("/v1/images/generations", json: #"{"prompt": "a lake"}"#)
                let third = try await upstream.next()
                _ = try await waiting.readHead()
                await gateway.shutDown()
                // Resumable: the response ends, the job's events are not over.
                #expect(try await unified.readEvents().allSatisfy { $0.name == "stage" })
                #expect(try await openAI.readEvents().map(\.name) == ["error"])
                #expect(try JSONObject(try await waiting.readBody()).string("error.code") != nil)
                for visit in [first, second, third] { try await visit.waitForClose() }
                for client in [unified, openAI, waiting] { await client.waitForClose() }
            }
        }

        @Test func idleConnectionsDoNotHoldUpTheEnd() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(Self.settings(upstream, drain: "10m")) { gateway in
                let idle = try await gateway.connect()
                let used = try await gateway.connect()
                try await used.write("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = try await used.readHead()
                _ = try await used.readBody()
                await gateway.shutDown()
                await idle.waitForClose()
                await used.waitForClose()
            }
        }
    }

    @Suite struct Reloading {
        @Test func aChangedFileIsServedAndABadOneIsNot() async throws {
            let upstream = try await ScriptedUpstream.start()
            let log = RecordingLog()
            var settings = LiveGateway.Settings(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))
            settings.clock = FastClock()
            settings.logger = log.logger
            let first = settings
            try await LiveGateway.run(first) { gateway in
                func status(_ path: String) async throws -> Int {
                    let client = try await gateway.connect()
                    try await client.write("PUT \(path) HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                    return try await client.readHead().status
                }
                let old = try await gateway.connect()
                try await old.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true}"#)
                let visit = try await upstream.next()
                _ = try await old.readHead()
                #expect(try await status("/v1/generate") == 405)
                #expect(try await status("/v1/other") == 404)

                var second = first
                second.file = LiveFile.file(
                    upstream: upstream.url, routes: #"{"path": "/v1/other", "dialect": "unified"}"#)
                try gateway.rewrite(second.text)
                await log.wait(for: "routes.json reloaded")
                #expect(try await status("/v1/generate") == 404)
                #expect(try await status("/v1/other") == 405)

                for bad in ["", "{", second.text.replacingOccurrences(of: "unified", with: "unifeid")] {
                    try gateway.rewrite(bad)
                    await log.wait(for: "routes.json not reloaded")
                    #expect(try await status("/v1/other") == 405)
                }
                try gateway.rewrite(first.text)
                await log.wait(for: "routes.json reloaded")
                #expect(try await status("/v1/generate") == 405)

                // The job that ran through all this keeps the route it began with.
                try await visit.finish(
                    ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n" + SamplePicture.completed)
                #expect(try await old.readEvents().last?.name == "completed")
            }
        }
    }

    @Suite struct Images {
        /// Moves only when told.
        private final class Calendar: Sendable {
            private let offset = Atomic<Int64>(0)
            func advance(hours: Int64) { self.offset.add(hours * 3_600_000, ordering: .relaxed) }
            @Sendable func now() -> Timestamp {
                Timestamp.system().advanced(byMilliseconds: self.offset.load(ordering: .relaxed))
            }
        }

        private static func settings(_ calendar: Calendar) -> LiveGateway.Settings {
            var settings = LiveGateway.Settings(
                file: """
                    "storage": {"images": {"disk": "pictures", "url_lifetime": "1h"}},
                    "upstreams": {
                      "darkroom": {"provider": "openai-images", "base_url": "simulator:"},
                      "queue": {"provider": "queue", "preset": "stages", "base_url": "simulator:"}},
                    "route_defaults": {"auth": "public", "public_without_limits": true},
                    "routes": [
                      {"path": "/v1/generate", "dialect": "unified", "upstreams": ["darkroom"], "delivery": "both"},
                      {"mount": "/api/v1/images", "dialect": "stages", "upstreams": ["queue"]}]
                    """)
            settings.withSimulator = true
            settings.now = calendar.now
            return settings
        }

        /// The path and query of an absolute URL of this gateway.
        private static func target(_ url: String, _ gateway: LiveGateway) throws -> String {
            let base = "http://127.0.0.1:\(gateway.port)"
            try #require(url.hasPrefix(base + "/"), "\(url)")
            return String(url.dropFirst(base.count))
        }

        private static func get(_ client: StreamingClient, _ target: String) async throws -> (
            Int, StreamingClient.Head, ByteBuffer
        ) {
            try await client.write("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
            let head = try await client.readHead()
            return (head.status, head, try await client.readBody())
        }

        @Test func aSignedURLBringsTheVeryBytes() async throws {
            let calendar = Calendar()
            try await LiveGateway.run(Self.settings(calendar)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true, "size": "256x256"}"#)
                _ = try await client.readHead()
                let events = try await client.readEvents()
                let image = try #require(try events.first { $0.name == "image" }?.json())
                let target = try Self.target(try #require(image.string("url")), gateway)
                let inline = try #require(Data(base64Encoded: image.string("b64_json") ?? ""))
                let (status, head, bytes) = try await Self.get(client, target)
                #expect(status == 200)
                #expect(Data(bytes.readableBytesView) == inline)
                #expect(head["content-type"] == "image/png")
                #expect(head["x-content-type-options"] == "nosniff")
                #expect(head["content-security-policy"]?.contains("sandbox") == true)
                #expect(image.integer("file_size") == inline.count)
                #expect(image.integer("width") == 256)
                try await Self.checkSignature(client, target, calendar)
            }
        }

        private static func checkSignature(_ client: StreamingClient, _ target: String, _ calendar: Calendar)
            async throws
        {
            let last = target.last == "0" ? "1" : "0"
            let parts = target.split(separator: "?")
            let id = parts[0].split(separator: "/").last ?? ""
            let other = parts[0].replacingOccurrences(of: id, with: "img_" + String(repeating: "a", count: 26))
            for bad in [
                String(target.dropLast()) + last, String(target.dropLast()), target + "&x=1", String(parts[0]),
                "\(other)?\(parts[1])", target.replacingOccurrences(of: "expires=1", with: "expires=2"),
                target.replacingOccurrences(of: "expires=", with: "expires=+"),
            ] {
                #expect(try await self.get(client, bad).0 == 403, "\(bad)")
            }
            try await client.write("HEAD \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await client.readHead(answersHEAD: true).status == 200)
            #expect(try await self.get(client, target).0 == 200)
            calendar.advance(hours: 1)
            #expect(try await self.get(client, target).0 == 403)
        }

        @Test func theStagesDialectGivesAURL() async throws {
            try await LiveGateway.run(Self.settings(Calendar())) { gateway in
                let client = try await gateway.connect()
                try await client.post(
                    "/api/v1/images/generate/stream", json: #"{"prompt": "a lake", "quality": "draft"}"#)
                #expect(try await client.readHead().status == 200)
                let events = try await client.readEvents()
                let stages = try events.map { try $0.json().string("stage") ?? "" }
                #expect(stages.first == "queued" && stages.last == "completed")
                let last = try #require(try events.last?.json())
                let url = try #require(last.string("data.result.images.0.image_url"))
                let (status, _, bytes) = try await Self.get(client, try Self.target(url, gateway))
                #expect(status == 200)
                #expect(bytes.getBytes(at: 1, length: 3) == Array("PNG".utf8))
                // The finished job is still known.
                let job = try #require(last.string("job_id"))
                let (known, _, state) = try await Self.get(client, "/api/v1/images/jobs/\(job)")
                #expect(known == 200)
                #expect(try JSONObject(state).string("result.images.0.image_url") != nil)
            }
        }

        @Test func aStoreThatCannotBeWrittenIsATypedError() async throws {
            try await LiveGateway.run(Self.settings(Calendar())) { gateway in
                try FileManager.default.removeItem(at: gateway.folder.appendingPathComponent("pictures"))
                try Data().write(to: gateway.folder.appendingPathComponent("pictures"))
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true, "size": "64x64"}"#)
                _ = try await client.readHead()
                let last = try #require(try await client.readEvents().last?.json())
                #expect(last.string("error.code") == "storage_unavailable")
                #expect(last.string("error.billed") == "yes")
            }
        }
    }
}

extension LiveGateway {
    /// Asks the operators' listener until it says that the gateway drains.
    func waitUntilDraining() async throws {
        while true {
            let client = try await StreamingClient.connect(port: self.adminPort)
            try await client.write("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if try await client.readHead().status == 503 { return }
        }
    }
}
