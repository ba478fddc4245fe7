import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// Stored pictures over real sockets; what is decided is tested in `HTTP/Images`.
    @Suite struct StoredImages {
        private static var settings: LiveGateway.Settings {
            var settings = LiveGateway.Settings(
                file: """
                    "storage": {"images": {"disk": "pictures", "url_lifetime": "1h"}},
                    "upstreams": {"darkroom": {"provider": "openai-images", "base_url": "simulator:"}},
                    "route_defaults": {"auth": "public", "public_without_limits": true},
                    "routes": [
                      {"path": "/v1/generate", "dialect": "unified", "upstreams": ["darkroom"], "delivery": "both"}]
                    """)
            settings.withSimulator = true
            return settings
        }

        /// A picture made through the gateway: its signed target, its bytes, its file.
        private struct Picture {
            let target: String
            let bytes: [UInt8]
            let file: URL
            var path: String { String(self.target.prefix { $0 != "?" }) }
        }

        private static func picture(_ client: StreamingClient, _ gateway: LiveGateway) async throws -> Picture {
            try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true, "size": "64x64"}"#)
            _ = try await client.readHead()
            let image = try #require(try await client.readEvents().first { $0.name == "image" }?.json())
            let base = "http://127.0.0.1:\(gateway.port)"
            let url = try #require(image.string("url"))
            try #require(url.hasPrefix(base + "/v1/images/"), "\(url)")
            let id = try #require(image.string("image_id"))
            let folder = gateway.folder.appendingPathComponent("pictures/generated-images")
            return Picture(
                target: String(url.dropFirst(base.count)),
                bytes: Array(try #require(Data(base64Encoded: image.string("b64_json") ?? ""))),
                file: folder.appendingPathComponent("\(id.dropFirst(4).prefix(2))/\(id).png"))
        }

        private static func ask(
            _ client: StreamingClient, _ method: String, _ target: String, _ fields: String = ""
        ) async throws -> (head: StreamingClient.Head, body: [UInt8]) {
            try await client.write("\(method) \(target) HTTP/1.1\r\nHost: x\r\n\(fields)\r\n")
            let head = try await client.readHead(answersHEAD: method == "HEAD")
            return (head, Array(try await client.readBody().readableBytesView))
        }

        @Test func rangesAndConditions() async throws {
            try await LiveGateway.run(Self.settings) { gateway in
                let client = try await gateway.connect()
                let picture = try await Self.picture(client, gateway)
                let whole = try await Self.ask(client, "GET", picture.target)
                #expect(whole.head.status == 200)
                #expect(whole.body == picture.bytes)
                #expect(whole.head["transfer-encoding"] == nil)
                let tag = try #require(whole.head["etag"])
                let count = picture.bytes.count
                for (fields, status, body) in [
                    ("Range: bytes=1-3\r\n", 206, Array(picture.bytes[1...3])),
                    ("Range: bytes=-4\r\n", 206, Array(picture.bytes.suffix(4))),
                    ("Range: bytes=\(count)-\r\n", 416, []),
                    ("Range: bytes=0-1,3-4\r\n", 200, picture.bytes),
                    ("Range: bytes=1-3\r\nIf-Range: \(tag)\r\n", 206, Array(picture.bytes[1...3])),
                    ("Range: bytes=1-3\r\nIf-Range: \"other\"\r\n", 200, picture.bytes),
                    ("If-None-Match: \(tag)\r\n", 304, []),
                    ("If-None-Match: \"a\"\r\nIf-None-Match: \(tag)\r\n", 304, []),
                    ("If-None-Match: \"other\"\r\n", 200, picture.bytes), ("If-Match: \"other\"\r\n", 412, []),
                ] {
                    let answer = try await Self.ask(client, "GET", picture.target, fields)
                    #expect(answer.head.status == status, "\(fields)")
                    #expect(answer.body == body, "\(fields)")
                    #expect(answer.head["x-content-type-options"] == "nosniff")
                    #expect(answer.head["x-request-id"] != nil)
                }
                let head = try await Self.ask(client, "HEAD", picture.target)
                #expect(head.head.status == 200)
                #expect(head.head["content-length"] == String(count))
                #expect(head.head["etag"] == tag)
            }
        }

        /// Method, path, and every part of the query: G9.
        @Test func aURLServesNothingButItsPicture() async throws {
            try await LiveGateway.run(Self.settings) { gateway in
                let client = try await gateway.connect()
                let picture = try await Self.picture(client, gateway)
                let query = picture.target.dropFirst(picture.path.count + 1)
                let parts = query.split(separator: "&").map(String.init)
                for bad in [
                    picture.path, picture.path + "?", "\(picture.path)?\(parts[0])&\(parts[2])",
                    "\(picture.path)?\(parts[1])&\(parts[0])&\(parts[2])", "\(picture.target)&\(parts[0])",
                    "\(picture.path)?\(parts[0])&key=00000000&\(parts[2])", picture.target + "&",
                    picture.target + "%00",
                    "\(picture.path)?\(query.replacing("=", with: "%3D"))", "\(picture.path)?\(query.uppercased())",
                    "\(picture.path)?%65\(query.dropFirst())", "\(picture.path)??\(query)",
                ] {
                    #expect(try await Self.ask(client, "GET", bad).head.status == 403, "\(bad)")
                }
                for bad in [
                    "/v1/images//\(picture.path.dropFirst(11))?\(query)", "\(picture.path)/?\(query)",
                    "\(picture.path).png?\(query)", "\(picture.path.uppercased())?\(query)",
                    "/v1/images/%69\(picture.path.dropFirst(12))?\(query)", "/v1/images/../../etc/passwd?\(query)",
                    "/v1/images/..%2f..%2fepoch?\(query)", "/v1/images/?\(query)", "/v1/Images/x?\(query)",
                ] {
                    #expect(try await Self.ask(client, "GET", bad).head.status == 404, "\(bad)")
                }
                for (method, status) in [
                    ("DELETE", 403), ("POST", 405), ("PUT", 405), ("PATCH", 405), ("OPTIONS", 405),
                ] {
                    let fields = method == "DELETE" ? "" : "Content-Length: 0\r\n"
                    let answer = try await Self.ask(client, method, picture.target, fields)
                    #expect(answer.head.status == status, "\(method)")
                    if status == 405 { #expect(answer.head["allow"] == "GET, HEAD, DELETE") }
                }
                #expect(try await Self.ask(client, "GET", picture.target).body == picture.bytes)
            }
        }

        /// A reader that takes its time, of a picture far larger than what is written ahead.
        @Test(.timeLimit(.minutes(1))) func aLargePictureIsSentAsItIsTaken() async throws {
            try await LiveGateway.run(Self.settings) { gateway in
                let client = try await gateway.connect(receiveBuffer: 64 << 10)
                let picture = try await Self.picture(client, gateway)
                let large = Data(picture.bytes) + Data((0..<20 << 20).map { UInt8(truncatingIfNeeded: $0 / 251) })
                try large.write(to: picture.file)
                let answer = try await Self.ask(client, "GET", picture.target)
                #expect(answer.head["content-length"] == String(large.count))
                #expect(answer.body.elementsEqual(large))
                // One that leaves in the middle harms nobody.
                let leaver = try await gateway.connect()
                try await leaver.write("GET \(picture.target) HTTP/1.1\r\nHost: x\r\n\r\n")
                _ = try await leaver.readHead()
                try await leaver.reset()
                #expect(try await Self.ask(client, "HEAD", picture.target).head.status == 200)
            }
        }

        /// Ready again by itself, with nobody asking for a picture meanwhile.
        @Test(.timeLimit(.minutes(1))) func readinessFollowsTheDisk() async throws {
            try await LiveGateway.run(Self.settings) { gateway in
                let pictures = gateway.folder.appendingPathComponent("pictures")
                try FileManager.default.removeItem(at: pictures)
                try Data().write(to: pictures)
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true, "size": "64x64"}"#)
                _ = try await client.readHead()
                _ = try await client.readEvents()
                #expect(try await Self.readiness(gateway) == (503, "storage_unavailable"))
                try FileManager.default.removeItem(at: pictures)
                while try await Self.readiness(gateway).0 != 200 { try Task.checkCancellation() }
            }
        }

        private static func readiness(_ gateway: LiveGateway) async throws -> (Int, String?) {
            let client = try await StreamingClient.connect(port: gateway.adminPort)
            try await client.write("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            let status = try await client.readHead().status
            return (status, try JSONObject(try await client.readBody()).string("status"))
        }
    }
}
