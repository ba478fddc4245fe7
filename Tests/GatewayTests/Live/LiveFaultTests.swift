import Foundation
import GatewayTesting
import NIOCore
import Testing

@testable import Gateway

extension LiveTests {
    /// Upstreams that go wrong: a typed error each time, never a hang, never `completed`.
    @Suite struct Faults {
        struct Fault: Sendable, CustomTestStringConvertible {
            let name: String
            /// What the upstream writes before it closes.
            let answer: String
            /// Acceptable codes.
            let codes: [String]
            var testDescription: String { self.name }
        }

        private static func events(_ text: String) -> String {
            ScriptedUpstream.eventsHead + "Connection: close\r\n\r\n" + text
        }

        private static func broken(_ picture: String) -> String {
            SamplePicture.completed.replacingOccurrences(of: SamplePicture.png, with: picture)
        }

        static let faults: [Fault] = [
            Fault(name: "closes before its head", answer: "", codes: ["upstream_truncated"]),
            Fault(
                name: "closes inside its head", answer: "HTTP/1.1 200 OK\r\nConte",
                codes: ["upstream_truncated", "upstream_protocol"]),
            Fault(
                name: "speaks no HTTP", answer: "SSH-2.0-OpenSSH_9.2\r\n",
                codes: ["upstream_protocol", "upstream_truncated"]),
            Fault(
                name: "a page of HTML with 200",
                answer: ScriptedUpstream.answer("200 OK", type: "text/html", "<html>Sign in</html>"),
                codes: ["upstream_protocol"]),
            Fault(
                name: "HTML called JSON", answer: ScriptedUpstream.answer("200 OK", "<html></html>"),
                codes: ["upstream_protocol"]),
            Fault(
                name: "an empty document", answer: ScriptedUpstream.answer("200 OK", ""),
                codes: ["upstream_protocol", "no_image"]),
            Fault(
                name: "a document without pictures", answer: ScriptedUpstream.answer("200 OK", "{}"),
                codes: ["no_image"]),
            Fault(
                name: "a redirect",
                answer: "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                codes: ["upstream_protocol"]),
            Fault(name: "an empty stream", answer: events(""), codes: ["upstream_truncated", "no_image"]),
            Fault(name: "no terminal", answer: events(SamplePicture.partial), codes: ["upstream_truncated"]),
            Fault(
                name: "an end mark without a picture", answer: events("data: [DONE]\n\n"),
                codes: ["no_image", "upstream_truncated"]),
            Fault(
                name: "an event that is no JSON", answer: events("data: {\"type\": \n\n"), codes: ["upstream_protocol"]),
            Fault(
                name: "bytes that are no text", answer: events("data: \u{0}\u{1}\u{7F}\n\n"),
                codes: ["upstream_protocol", "upstream_truncated"]),
            Fault(name: "bad base64", answer: events(broken("iVBOR*****")), codes: ["upstream_protocol"]),
            Fault(
                name: "empty base64", answer: events(broken("")),
                codes: ["upstream_protocol", "no_image", "upstream_truncated"]),
            Fault(
                name: "a picture that is none", answer: events(broken("PGh0bWw+PC9odG1sPg==")), codes: ["image_refused"]
            ),
            Fault(
                name: "an event past the budget", answer: events(broken(String(repeating: "A", count: 100_000))),
                codes: ["upstream_too_large"]),
            Fault(
                name: "a document past the budget",
                answer: ScriptedUpstream.answer(
                    "200 OK", #"{"data":[{"b64_json":"\#(String(repeating: "A", count: 100_000))"}]}"#),
                codes: ["upstream_too_large"]),
            Fault(
                name: "an event without end", answer: events("data: " + String(repeating: "x", count: 100_000)),
                codes: ["upstream_too_large"]),
            Fault(
                name: "an error event",
                answer: events(
                    "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"no\",\"code\":\"server_error\"}}\n\n"
                ),
                codes: ["upstream_error"]),
            Fault(
                name: "401",
                answer: ScriptedUpstream.answer("401 Unauthorized", #"{"error":{"message":"bad key sk-123"}}"#),
                codes: ["provider_auth"]),
            Fault(
                name: "429", answer: ScriptedUpstream.answer("429 Too Many Requests", "{}"),
                codes: ["upstream_rate_limited"]),
            Fault(
                name: "500", answer: ScriptedUpstream.answer("500 Internal Server Error", "oops"),
                codes: ["upstream_error"]),
            Fault(
                name: "503 in HTML",
                answer: ScriptedUpstream.answer("503 Service Unavailable", type: "text/html", "<html>"),
                codes: ["upstream_error", "upstream_unavailable"]),
        ]

        private static func file(_ upstream: ScriptedUpstream, _ defaults: String = "") -> String {
            LiveFile.file(
                upstream: upstream.url,
                upstreamMembers: #", "event": "64KiB", "retry": {"attempts": 1}, "breaker": {"failures": 0}"#,
                defaults: defaults,
                routes: LiveFile.both)
        }

        @Test(arguments: faults) func becomeATypedEvent(_ fault: Fault) async throws {
            let schema = try SchemaValidator.events()
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                let client = try await gateway.connect()
                try await client.post(
                    "/v1/generate", json: #"{"prompt": "a lake", "stream": true, "partial_images": 1}"#)
                let visit = try await upstream.next()
                try await visit.finish(fault.answer)
                _ = try await client.readHead()
                let events = try await client.readEvents()
                for event in events { #expect(schema.problems(in: event.data.utf8) == []) }
                #expect(events.last?.name == "error")
                let error = try #require(try events.last?.json())
                #expect(fault.codes.contains(error.string("error.code") ?? "none"), "\(error)")
                #expect(!error.description.contains("sk-123"))
                try await gateway.wait { $0.jobs == 0 && $0.upstream_calls == 0 && $0.holdsOnlyFinishedJobs }
            }
        }

        @Test(arguments: faults) func becomeAStatusOfAWaitingCall(_ fault: Fault) async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = Self.file(upstream).replacingOccurrences(of: "100ms", with: "1m")
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/images/generations", json: #"{"prompt": "a lake"}"#)
                try await upstream.next().finish(fault.answer)
                let head = try await client.readHead()
                #expect(head.status >= 400)
                #expect(try JSONObject(try await client.readBody()).string("error.message")?.isEmpty == false)
            }
        }

        @Test func truncationAtAnyByteIsNeverSuccess() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                let stream = SamplePicture.partial + SamplePicture.completed
                let answers = [
                    ScriptedUpstream.eventsHead + "Transfer-Encoding: chunked\r\n\r\n" + ScriptedUpstream.chunk(stream)
                        + "0\r\n\r\n",
                    Self.events(stream),
                    ScriptedUpstream.answer("200 OK", #"{"data":[{"b64_json":"\#(SamplePicture.png)"}]}"#),
                ]
                for answer in answers {
                    let count = answer.utf8.count
                    // Where the picture is whole, only framing can be lost.
                    let whole =
                        answer.utf8.firstRange(of: Array("image_tokens\":0}}}\n\n".utf8))?.upperBound
                        .utf16Offset(in: answer) ?? count
                    for offset in stride(from: 0, to: whole, by: max(1, whole / 25)) {
                        let terminal = try await Self.terminal(gateway, upstream, String(answer.prefix(offset)))
                        #expect(terminal == "error", "after \(offset) of \(count)")
                    }
                    #expect(try await Self.terminal(gateway, upstream, answer) == "completed")
                }
            }
        }

        private static func terminal(
            _ gateway: LiveGateway, _ upstream: ScriptedUpstream, _ answer: String
        ) async throws -> String? {
            let client = try await gateway.connect()
            try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true, "partial_images": 1}"#)
            try await upstream.next().finish(answer)
            _ = try await client.readHead()
            return try await client.readEvents().last?.name
        }

        @Test func anUpstreamThatIsNotThere() async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = Self.file(upstream)
            try await upstream.stop()
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true}"#)
                #expect(try await client.readHead().status == 200)
                let error = try #require(try await client.readEvents().last?.json())
                #expect(error.string("error.code") == "upstream_unreachable")
                #expect(error.string("error.billed") == "no")
                for stream in [true, false] {
                    try await client.post(
                        "/v1/images/generations", json: #"{"prompt": "a lake", "stream": \#(stream)}"#)
                    #expect(try await client.readHead().status == 502)
                    _ = try await client.readBody()
                }
            }
        }

        @Test(arguments: [
            ("first_byte", "", "upstream_timeout"), ("idle", ScriptedUpstream.eventsHead + "\r\n", "upstream_stalled"),
            ("idle", ScriptedUpstream.eventsHead + "\r\n" + SamplePicture.partial, "upstream_stalled"),
            (
                "idle", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
                "upstream_stalled"
            ),
            ("total", ScriptedUpstream.eventsHead + "\r\n" + SamplePicture.partial, "deadline_exceeded"),
        ]) func anUpstreamThatFallsSilent(_ limit: String, _ start: String, _ code: String) async throws {
            let upstream = try await ScriptedUpstream.start()
            let file = Self.file(upstream, #", "timeouts": {"\#(limit)": "200ms"}"#)
            try await LiveGateway.run(.init(file: file)) { gateway in
                let client = try await gateway.connect()
                try await client.post(
                    "/v1/generate", json: #"{"prompt": "a lake", "stream": true, "partial_images": 1}"#)
                let visit = try await upstream.next()
                if !start.isEmpty { try await visit.write(start) }
                _ = try await client.readHead()
                let error = try #require(try await client.readEvents().last?.json())
                #expect(error.string("error.code") == code)
                #expect(error.string("error.billed") == "maybe")
                try await visit.waitForClose()
            }
        }

        @Test func thePictureOfAnUpstreamThatDoesNotCloseIsDelivered() async throws {
            let upstream = try await ScriptedUpstream.start()
            try await LiveGateway.run(.init(file: Self.file(upstream))) { gateway in
                let client = try await gateway.connect()
                try await client.post("/v1/generate", json: #"{"prompt": "a lake", "stream": true}"#)
                let visit = try await upstream.next()
                try await visit.write(ScriptedUpstream.eventsHead + "\r\n" + SamplePicture.completed)
                _ = try await client.readHead()
                #expect(try await client.readEvents().last?.name == "completed")
                try await visit.waitForClose()
            }
        }
    }
}
