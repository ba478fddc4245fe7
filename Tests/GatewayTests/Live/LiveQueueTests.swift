import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

@testable import Gateway

extension LiveTests {
    /// Queued services, told to the gateway by configuration alone.
    @Suite struct QueuedServices {
        /// The first JSON block of the page on adding a provider.
        private static func documented() throws -> String {
            let page = String(decoding: try ProjectFile.bytes("docs/adding-a-provider.md"), as: UTF8.self)
            let start = try #require(page.range(of: "```json\n"))
            let end = try #require(page.range(of: "```", range: start.upperBound..<page.endIndex))
            return String(page[start.upperBound..<end.lowerBound])
        }

        @Test func theDocumentedBlockIsAcceptedAsItStands() throws {
            let loaded = ConfigurationFixture.load(
                try Self.documented(), environment: ["EASEL_API_KEY": "chalk"], catalog: .current)
            #expect(loaded.problems == [])
            #expect(loaded.table?.upstreams.map(\.name) == ["easel"])
        }

        /// The block with the address and the key of the test's own service, and nothing else changed.
        private static func settings(_ upstream: ScriptedUpstream, key: URL) throws -> LiveGateway.Settings {
            let block = try Self.documented()
                .replacingOccurrences(of: "https://api.easel.example/v2", with: upstream.url)
                .replacingOccurrences(of: #"{ "env": "EASEL_API_KEY" }"#, with: #"{ "file": "\#(key.path)" }"#)
            try Data("chalk".utf8).write(to: key)
            let members = block.trimmingCharacters(in: .whitespacesAndNewlines).dropFirst().dropLast()
            return LiveGateway.Settings(file: String(members))
        }

        private static func sketch(_ members: String) -> String {
            ScriptedUpstream.answer("200 OK", #"{"sketch": {"id": "s/1", \#(members)}}"#)
        }

        private func events(
            _ request: String, _ service: @escaping @Sendable (ScriptedUpstream) async throws -> Void
        ) async throws -> [StreamingClient.Event] {
            let upstream = try await ScriptedUpstream.start()
            let key = FileManager.default.temporaryDirectory.appendingPathComponent("easel-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: key) }
            let told = AsyncStream.makeStream(of: [StreamingClient.Event].self)
            try await LiveGateway.run(try Self.settings(upstream, key: key)) { gateway in
                async let served: Void = service(upstream)
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: request)
                #expect(try await client.readHead().status == 200)
                let events = try await client.readEvents()
                try await served
                told.continuation.yield(events)
                told.continuation.finish()
            }
            return await told.stream.first { _ in true } ?? []
        }

        @Test func theDocumentedBlockDrawsAPicture() async throws {
            let request = #"""
                {"prompt": "a lake", "negative_prompt": "boats", "n": 2, "aspect_ratio": "16:10", "quality": "high", "stream": true}
                """#
            let events = try await self.events(request) { upstream in
                let submit = try await upstream.next()
                #expect(submit.head.hasPrefix("POST /v1/sketches HTTP/1.1"))
                #expect(submit.head.contains("\r\nAuthorization: Easel chalk\r\n"))
                #expect(
                    submit.body
                        == #"{"subject":"a lake","without":"boats","sheets":2,"paper":"wide","strokes":3000}"#)
                try await submit.write(Self.sketch(#""phase": "waiting", "ahead": 2"#))
                for answer in [
                    #""phase": "waiting", "ahead": 0"#, #""phase": "priming""#,
                    #""phase": "drawing", "notes": ["began", "at 40% of it"]"#, #""phase": "drawing", "share": 0.7"#,
                    #""phase": "hung", "share": 1, "wall": [{"href": "/sheets/1", "across": 1, "down": 1, "kind": "png"}, {"href": "http://evil.example/2"}]"#,
                ] {
                    let poll = try await upstream.next()
                    #expect(poll.head.hasPrefix("GET /v1/sketches/s%2F1?with=notes HTTP/1.1"))
                    try await poll.write(Self.sketch(answer))
                }
                let fetch = try await upstream.next()
                #expect(fetch.head.hasPrefix("GET /sheets/1 HTTP/1.1"))
                #expect(!fetch.head.lowercased().contains("authorization"))
                try await fetch.write(try Base64.decode(SamplePicture.buffer), type: "application/octet-stream")
            }
            let stages = events.filter { $0.name == "stage" }.map(\.data)
            #expect(stages.contains { $0.contains(#""stage":"generating""#) && $0.contains(#""progress":"#) })
            let image = try #require(events.first { $0.name == "image" })
            #expect(image.data.contains(SamplePicture.png))
            let end = try #require(events.last)
            #expect(end.name == "completed")
            #expect(end.data.contains(#""code":"result_url_refused""#))
        }

        @Test(arguments: [
            (
                #""phase": "torn", "torn_because": "taste.harsh", "why": "We do not draw that.""#, "refused",
                "We do not draw that."
            ),
            (
                #""phase": "torn", "torn_because": "rain", "why": "The paper got wet.""#, "upstream_error",
                "The paper got wet."
            ),
            (#""phase": "taken down""#, "upstream_error", "The job was cancelled at the upstream."),
        ])
        func theDocumentedBlockSaysWhyThereIsNone(_ answer: String, _ code: String, _ message: String) async throws {
            let events = try await self.events(#"{"prompt": "a lake", "stream": true}"#) { upstream in
                let submit = try await upstream.next()
                #expect(submit.body == #"{"subject":"a lake","sheets":1}"#)
                try await submit.write(Self.sketch(#""phase": "waiting""#))
                try await upstream.next().write(Self.sketch(answer))
            }
            let end = try #require(events.last)
            #expect(end.name == "error")
            #expect(end.data.contains(#""code":"\#(code)""#) && end.data.contains(message))
        }

        private static let presets = """
            "upstreams": {
              "fal": {"provider": "queue", "preset": "fal", "base_url": "simulator:", "model": "fal-ai/flux/dev"},
              "replicate": {"provider": "queue", "preset": "replicate", "base_url": "simulator:", "model": "maker/painter"},
              "bfl": {"provider": "queue", "preset": "bfl", "base_url": "simulator:", "model": "flux-2-pro"}},
            "route_defaults": {"auth": "public", "public_without_limits": true, "dialect": "unified"},
            "routes": [{"path": "/fal", "upstreams": ["fal"]}, {"path": "/replicate", "upstreams": ["replicate"]},
              {"path": "/bfl", "upstreams": ["bfl"]}]
            """

        private static func onSimulator(
            _ body: @Sendable (LiveGateway) async throws -> Void
        ) async throws {
            var settings = LiveGateway.Settings(file: Self.presets)
            settings.withSimulator = true
            try await LiveGateway.run(settings, body)
        }

        /// The services' own words on both sides: the presets against the simulator's upstream side.
        @Test(arguments: ["/fal", "/replicate", "/bfl"])
        func presetsDrawPictures(_ path: String) async throws {
            try await Self.onSimulator { gateway in
                let client = try await gateway.connect()
                let json = #"""
                    {"prompt": "a lake [sim duration=600ms queue=300ms position=2]", "aspect_ratio": "16:9", "stream": true,
                     "partial_images": 2}
                    """#
                try await client.post(path, json: json)
                #expect(try await client.readHead().status == 200)
                let events = try await client.readEvents()
                #expect(events.last?.name == "completed", "\(events.last?.data ?? "")")
                #expect(events.count { $0.name == "image" } == 1)
                #expect(events.contains { $0.data.contains(#""stage":"generating""#) })
                let previews = events.count { $0.name == "partial_image" }
                #expect(path == "/replicate" ? previews > 0 : previews == 0)
            }
        }

        @Test(
            arguments: ["/fal", "/replicate", "/bfl"],
            ["refuse", "refuse=stream", "fail", "status=429", "malformed=html"])
        func presetsSayWhyThereIsNone(_ path: String, _ fault: String) async throws {
            try await Self.onSimulator { gateway in
                let (_, body) = try await gateway.send(
                    "POST", path, json: #"{"prompt": "a lake [sim profile=fast \#(fault)]"}"#)
                let error = try #require(try JSONDocument(body).root["error"])
                let expected = [
                    "refuse": "refused", "refuse=stream": "refused", "fail": "upstream_error",
                    "status=429": "upstream_rate_limited", "malformed=html": "upstream_protocol",
                ]
                #expect(error["code"]?.string == expected[fault], "\(String(buffer: body))")
            }
        }

        @Test(arguments: [("/fal", "done"), ("/replicate", "done"), ("/bfl", "unsupported")])
        func presetsCancelWhereTheServiceCan(_ path: String, _ outcome: String) async throws {
            try await Self.onSimulator { gateway in
                let (_, body) = try await gateway.send(
                    "POST", path, headers: "Prefer: respond-async\r\n",
                    json: #"{"prompt": "a lake [sim duration=20s queue=0]"}"#)
                let job = try #require(try JSONObject(body).string("id") ?? JSONObject(body).string("job_id"))
                _ = try await gateway.snapshot(job) { $0.string("stage") == "generating" }
                _ = try await gateway.send("DELETE", "/v1/jobs/\(job)", headers: "Content-Length: 0\r\n")
                let snapshot = try await gateway.snapshot(job) { $0.string("upstream_cancel") != "pending" }
                #expect(snapshot.string("status") == "cancelled" && snapshot.string("upstream_cancel") == outcome)
            }
        }
    }
}
