import GatewayTesting
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// What is wrong with a request before anybody looks at its meaning.
    @Suite struct Requests {
        private static let nowhere = "http://127.0.0.1:1/v1"
        private static let file = LiveFile.file(upstream: nowhere, routes: LiveFile.both)

        private static func settings(_ server: String = "", limits: ConnectionLimits = .init()) -> LiveGateway.Settings
        {
            var settings = LiveGateway.Settings(file: self.file)
            settings.server = #""drain": "0s""# + server
            settings.limits = limits
            return settings
        }

        /// Sends bytes, expects an answer of this status with a JSON error of this code, and the connection's end.
        private static func refused(
            _ gateway: LiveGateway, _ bytes: ByteBuffer, _ status: Int, _ code: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            let client = try await gateway.connect()
            client.writeWithoutWaiting(bytes)
            let head = try await client.readHead()
            #expect(head.status == status, sourceLocation: sourceLocation)
            #expect(head["connection"] == "close", sourceLocation: sourceLocation)
            let body = try await client.readBody()
            #expect(try JSONObject(body).string("error.code") == code, sourceLocation: sourceLocation)
            #expect(try await client.read() == nil, sourceLocation: sourceLocation)
        }

        private static func refused(
            _ gateway: LiveGateway, _ text: String, _ status: Int, _ code: String,
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            try await self.refused(
                gateway, ByteBuffer(string: text), status, code, sourceLocation: sourceLocation)
        }

        @Test func otherMethodsAreRefusedWithoutBreakingTheConnection() async throws {
            try await LiveGateway.run(Self.settings()) { gateway in
                let client = try await gateway.connect()
                for method in ["HEAD", "OPTIONS", "PUT", "GET", "DELETE", "HEAD", "PATCH"] {
                    for path in ["/v1/generate", "/v1/images/generations"] {
                        try await client.write("\(method) \(path) HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                        let head = try await client.readHead(answersHEAD: method == "HEAD")
                        #expect(head.status == 405, "\(method) \(path)")
                        #expect(head["allow"] == "POST")
                        #expect(head["x-request-id"] != nil)
                        let body = try await client.readBody()
                        #expect((body.readableBytes == 0) == (method == "HEAD"))
                    }
                }
            }
        }

        @Test(arguments: ["/nowhere", "/v1", "/v1/generate/", "*", "/v1/images/img_x", "/..%2f..%2fetc/passwd", "//"])
        func anUnknownPathIs404(_ path: String) async throws {
            try await LiveGateway.run(Self.settings(#", "playground": false"#)) { gateway in
                let client = try await gateway.connect()
                for method in ["GET", "HEAD", "POST"] {
                    let length = method == "POST" ? "Content-Length: 0\r\n" : ""
                    try await client.write("\(method) \(path) HTTP/1.1\r\nHost: x\r\n\(length)\r\n")
                    let head = try await client.readHead(answersHEAD: method == "HEAD")
                    #expect(head.status == 404, "\(method) \(path)")
                    _ = try await client.readBody()
                }
            }
        }

        @Test func aBodyThatIsTooLarge() async throws {
            try await LiveGateway.run(Self.settings(#", "body": "1KiB""#)) { gateway in
                try await Self.refused(
                    gateway, "POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n", 413, "too_large")
                try await Self.refused(
                    gateway, "POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n", 413,
                    "too_large")
                let chunk = ScriptedUpstream.chunk(String(repeating: " ", count: 600))
                try await Self.refused(
                    gateway,
                    "POST /v1/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\(chunk)\(chunk)", 413,
                    "too_large")
                // As much as allowed is read, and found to be no JSON.
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: String(repeating: "[", count: 1024))
                #expect(try await client.readHead().status == 400)
            }
        }

        @Test func aTargetThatIsTooLong() async throws {
            try await LiveGateway.run(Self.settings(#", "uri": "1KiB""#)) { gateway in
                for count in [1024, 5000] {
                    let path = "/" + String(repeating: "a", count: count)
                    try await Self.refused(gateway, "GET \(path) HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long")
                }
                let client = try await gateway.connect()
                try await client.write("GET /\(String(repeating: "a", count: 1023)) HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await client.readHead().status == 404)
            }
        }

        @Test func headerFieldsThatAreTooMany() async throws {
            let many = (0...1000).map { "x-\($0): 1\r\n" }.joined()
            let long = "x: " + String(repeating: "y", count: 100 << 10) + "\r\n"
            let sum = (0..<40).map { "x-\($0): " + String(repeating: "y", count: 1000) + "\r\n" }.joined()
            try await LiveGateway.run(Self.settings()) { gateway in
                for headers in [many, long, sum] {
                    try await Self.refused(
                        gateway, "GET / HTTP/1.1\r\nHost: x\r\n\(headers)\r\n", 431, "headers_too_large")
                }
            }
        }

        @Test(arguments: ["G", "POST /v1/generate HTTP/1.1\r\nHost: x\r\nConte"])
        func aHeadThatTakesTooLong(_ start: String) async throws {
            try await LiveGateway.run(Self.settings(limits: .init(headDeadline: .milliseconds(100)))) { gateway in
                try await Self.refused(gateway, start, 408, "request_timeout")
            }
        }

        @Test(arguments: ["", "{\"prompt\": "])
        func aBodyThatTakesTooLong(_ start: String) async throws {
            try await LiveGateway.run(Self.settings(limits: .init(bodyDeadline: .milliseconds(100)))) { gateway in
                try await Self.refused(
                    gateway, "POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n\(start)", 408,
                    "request_timeout")
                try await gateway.wait { $0.connections == 0 }
            }
        }

        @Test func aSilentConnectionIsClosed() async throws {
            try await LiveGateway.run(Self.settings(limits: .init(keepAlive: .milliseconds(100)))) { gateway in
                let client = try await gateway.connect()
                #expect(try await client.read() == nil)
                let used = try await gateway.connect()
                try await used.write("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await used.readHead().status == 404)
                _ = try await used.readBody()
                #expect(try await used.read() == nil)
            }
        }

        @Test(arguments: [
            "\u{1}\u{2}\u{3}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
            "POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "POST /v1/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /v1/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "POST /v1/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        ]) func whatIsNoHTTPIs400AndTheEnd(_ text: String) async throws {
            try await LiveGateway.run(Self.settings()) { gateway in
                try await Self.refused(gateway, text, 400, "invalid_parameter")
                try await gateway.wait { $0.connections == 0 }
            }
        }

        @Test func moreConnectionsOfOneAddressThanAllowed() async throws {
            try await LiveGateway.run(Self.settings(#", "connections": {"per_ip": 2}"#)) { gateway in
                let first = try await gateway.connect()
                let second = try await gateway.connect()
                for client in [first, second] {
                    try await client.write("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try await client.readHead().status == 404)
                    _ = try await client.readBody()
                }
                let third = try await gateway.connect()
                let head = try await third.readHead()
                #expect(head.status == 503)
                #expect(head["retry-after"] != nil)
                #expect(try JSONObject(try await third.readBody()).string("error.code") == "overloaded")
                await third.waitForClose()
                try await first.close()
                try await third.close()
                try await gateway.wait { $0.connections == 1 }
                let fourth = try await gateway.connect()
                try await fourth.write("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await fourth.readHead().status == 404)
            }
        }

        @Test(arguments: [
            ("127.0.0.1", 200), ("127.0.0.1:9090", 200), ("localhost", 200), ("LocalHost:1", 200), ("[::1]:9090", 200),
            ("evil.example", 403), ("127.evil.example", 403), ("127.0.0.1.evil.example", 403),
            ("localhost.evil.example", 403), ("10.0.0.1", 403), ("[::2]", 403),
        ]) func operatorsAreReachedByLoopbackNamesOnly(_ host: String, _ status: Int) async throws {
            try await LiveGateway.run(Self.settings()) { gateway in
                let client = try await StreamingClient.connect(port: gateway.adminPort)
                try await client.write("GET /healthz HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                #expect(try await client.readHead().status == status)
                _ = try await client.readBody()
                // A page of the listener's own is the only one that is answered.
                for (origin, status) in [("http://localhost", 403), ("null", 403), ("http://127.0.0.1", 200)] {
                    try await client.write("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: \(origin)\r\n\r\n")
                    #expect(try await client.readHead().status == status)
                    _ = try await client.readBody()
                }
            }
        }
    }

    /// Several requests on one connection.
    @Suite struct Pipelining {
        private static let ask = #"{"prompt": "a lake", "stream": true}"#

        @Test func requestsBehindAStreamAreAnsweredAfterIt() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))) {
                gateway in
                let client = try await gateway.connect()
                let next = "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
                try await client.write(StreamingClient.request("/v1/generate", json: Self.ask) + next)
                let visit = try await upstream.next()
                _ = try await client.readHead()
                try await client.write(StreamingClient.request("/v1/generate", json: "no") + next)
                try await visit.write(
                    ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n" + SamplePicture.completed)
                try await visit.close()
                #expect(try await client.readEvents().last?.name == "completed")
                for status in [404, 400, 404] {
                    #expect(try await client.readHead().status == status)
                    _ = try await client.readBody()
                }
            }
        }

        @Test func aBadRequestBehindAStreamIsAnsweredInItsTurn() async throws {
            let upstream = try await ScriptedUpstream.start()
            var settings = LiveGateway.Settings(file: LiveFile.file(upstream: upstream.url, routes: LiveFile.unified))
            settings.server = #""drain": "0s", "uri": "256B""#
            try await LiveGateway.run(settings) { gateway in
                let client = try await gateway.connect()
                let long = "GET /\(String(repeating: "a", count: 300)) HTTP/1.1\r\nHost: x\r\n\r\n"
                try await client.write(
                    StreamingClient.request("/v1/generate", json: Self.ask) + long
                        + "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
                let visit = try await upstream.next()
                try await visit.write(ScriptedUpstream.eventsHead + "\r\n" + SamplePicture.completed)
                try await visit.close()
                #expect(try await client.readHead().status == 200)
                #expect(try await client.readEvents().last?.name == "completed")
                let head = try await client.readHead()
                #expect(head.status == 414 && head["connection"] == "close")
                _ = try await client.readBody()
                #expect(try await client.read() == nil)
            }
        }

        @Test func aClientThatPipelinesAndLeavesIsNoticed() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = LiveFile.file(
                upstream: upstream.url, defaults: #", "on_disconnect": "cancel""#, routes: LiveFile.unified)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                let next = String(repeating: "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", count: 50)
                try await client.write(StreamingClient.request("/v1/generate", json: Self.ask) + next)
                let visit = try await upstream.next()
                _ = try await client.readHead()
                try await client.close()
                try await visit.waitForClose()
                try await gateway.wait { $0.connections == 0 && $0.jobs == 0 && $0.streams == 0 }
            }
        }
    }
}
