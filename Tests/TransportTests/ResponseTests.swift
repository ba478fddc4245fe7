import HTTPTypes
import NIOCore
import Testing

@testable import Transport

/// Responses as upstreams really send them: whole, in pieces, cut, wrong.
@Suite(.timeLimit(.minutes(2))) struct ResponseTests {
    struct Script: Sendable, CustomTestStringConvertible {
        enum Ending: Sendable { case keepOpen, close, reset }

        let name: String
        let response: String
        var ending = Ending.keepOpen
        var status: Int?
        var body = ""
        var failure: UpstreamFailure.Reason?

        var testDescription: String { self.name }
    }

    static let whole: [Script] = [
        Script(
            name: "length", response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", status: 200, body: "hello"),
        Script(
            name: "chunked",
            response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            status: 200, body: "hello"),
        Script(
            name: "trailers",
            response:
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
            status: 200, body: "hi"),
        Script(
            name: "until close", response: "HTTP/1.1 200 OK\r\n\r\nhello", ending: .close, status: 200, body: "hello"),
        Script(
            name: "HTTP/1.0", response: "HTTP/1.0 500 Oops\r\n\r\nhello", ending: .close, status: 500, body: "hello"),
        Script(name: "no content", response: "HTTP/1.1 204 No Content\r\n\r\n", status: 204),
        Script(name: "not modified", response: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status: 304),
        Script(
            name: "100 Continue",
            response: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            status: 200, body: "hi"),
        Script(
            name: "103 Early Hints",
            response: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 402 Pay\r\nContent-Length: 0\r\n\r\n",
            status: 402),
        Script(
            name: "redirect is an answer",
            response: "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", status: 302),
        Script(
            name: "encoded body stays as it is",
            response: "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", status: 200,
            body: "hello"),
    ]

    static let broken: [Script] = [
        Script(
            name: "length short, FIN", response: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ending: .close,
            status: 200, body: "hello", failure: .truncated),
        Script(
            name: "length short, RST", response: "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", ending: .reset,
            status: 200, failure: .truncated),
        Script(
            name: "last chunk missing",
            response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ending: .close,
            status: 200, body: "hello", failure: .truncated),
        Script(
            name: "chunk cut", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", ending: .close,
            status: 200, body: "he", failure: .truncated),
        Script(name: "head cut", response: "HTTP/1.1 200 OK\r\nContent-", ending: .close, failure: .truncated),
        Script(name: "nothing, FIN", response: "", ending: .close, failure: .truncated),
        Script(name: "nothing, RST", response: "", ending: .reset, failure: .truncated),
        Script(name: "only 100", response: "HTTP/1.1 100 Continue\r\n\r\n", ending: .close, failure: .truncated),
        Script(
            name: "garbage", response: "SSH-2.0-OpenSSH_9.2\r\n\r\n\u{1}\u{2}\r\n", ending: .close, failure: .malformed),
        Script(name: "HTML without a head", response: "<html>hello</html>", ending: .close, failure: .malformed),
        Script(
            name: "no hexadecimal chunk size",
            response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", ending: .close,
            status: 200,
            failure: .malformed),
        Script(
            name: "bad length", response: "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", ending: .close,
            failure: .malformed),
        Script(
            name: "NUL in a field", response: "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", ending: .close, failure: .malformed),
        Script(
            name: "one huge field",
            response: "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 300_000) + "\r\n\r\n",
            ending: .close, failure: .malformed),
    ]

    private static func server(_ script: Script, pieces: [Range<Int>]? = nil) -> ScriptedServer {
        let bytes = Array(script.response.utf8)
        return ScriptedServer { connection in
            while connection.readRequest() != nil {
                for piece in pieces ?? [0..<bytes.count] { guard connection.write(Array(bytes[piece])) else { break } }
                switch script.ending {
                case .keepOpen: continue
                case .close: return connection.close()
                case .reset: return connection.reset()
                }
            }
        }
    }

    private func check(_ outcome: CallRecorder.Outcome, _ script: Script) {
        #expect(outcome.failure?.reason == script.failure, "\(outcome.failure?.detail ?? "")")
        #expect(outcome.failure?.requestSent ?? true)
        #expect(outcome.head?.status == script.status)
        #expect(outcome.text == script.body)
        #expect(outcome.strayCallbacks == 0)
    }

    @Test(arguments: whole + broken) func atOnce(_ script: Script) async throws {
        let server = Self.server(script)
        defer { server.stop() }
        try await CurlTransport.with { transport in
            self.check(await transport.perform(UpstreamCall(method: .get, url: server.url)), script)
            let post = UpstreamCall(method: .post, url: server.url, body: [ByteBuffer(string: "{}")])
            self.check(await transport.perform(post), script)
        }
    }

    /// libcurls before 8.1.0 write to memory of the last response when a handle is used again for such a one.
    @Test func foldsBeforeAnyFieldHarmNobody() async throws {
        let folded = Self.server(
            Script(name: "fold", response: "HTTP/1.1 200 OK\r\n x: y\r\n\tz\r\nContent-Length: 2\r\n\r\nhi"))
        let plain = Self.server(Self.whole[0])
        defer {
            folded.stop()
            plain.stop()
        }
        try await CurlTransport.with { transport in
            for _ in 0..<20 {
                self.check(await transport.perform(UpstreamCall(method: .get, url: plain.url)), Self.whole[0])
                // What comes of it differs between versions.
                _ = await transport.perform(UpstreamCall(method: .get, url: folded.url))
            }
        }
    }

    @Test(arguments: whole) func byteByByte(_ script: Script) async throws {
        let count = script.response.utf8.count
        let server = Self.server(script, pieces: (0..<count).map { $0..<$0 + 1 })
        defer { server.stop() }
        try await CurlTransport.with { transport in
            self.check(await transport.perform(UpstreamCall(method: .get, url: server.url)), script)
        }
    }

    @Test(arguments: whole.prefix(3)) func cutInTwoAnywhere(_ script: Script) async throws {
        try await CurlTransport.with { transport in
            for cut in 1..<script.response.utf8.count {
                let server = Self.server(script, pieces: [0..<cut, cut..<script.response.utf8.count])
                defer { server.stop() }
                self.check(await transport.perform(UpstreamCall(method: .get, url: server.url)), script)
            }
        }
    }

    @Test func headWithoutBodyForHEAD() async throws {
        let script = Script(name: "", response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", status: 200)
        let server = Self.server(script)
        defer { server.stop() }
        try await CurlTransport.with { transport in
            self.check(await transport.perform(UpstreamCall(method: .head, url: server.url)), script)
        }
    }

    @Test func endlessHeadIsCut() async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n")
            while connection.write("X-Filler: \(String(repeating: "x", count: 500))\r\n") {}
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(UpstreamCall(method: .get, url: server.url))
            #expect(outcome.failure?.reason == .malformed)
            #expect(outcome.head == nil)
        }
    }

    @Test func endlessBodyIsCut() async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n\r\n")
            while connection.write([UInt8](repeating: 7, count: 10_000)) {}
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let call = UpstreamCall(method: .get, url: server.url, maximumResponseBytes: 1_000_000)
            let outcome = await transport.perform(call)
            #expect(outcome.failure?.reason == .tooLarge)
            #expect(outcome.body.count <= 1_000_000)
            #expect(outcome.body.count > 900_000)
        }
    }

    @Test func exactlyTheLimitIsNotTooLarge() async throws {
        let server = Self.server(Self.whole[0])
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let fits = UpstreamCall(method: .get, url: server.url, maximumResponseBytes: 5)
            #expect(await transport.perform(fits).failure == nil)
            let short = UpstreamCall(method: .get, url: server.url, maximumResponseBytes: 4)
            #expect(await transport.perform(short).failure?.reason == .tooLarge)
        }
    }

    @Test func largeBodyArrivesWhole() async throws {
        let bytes = (0..<20_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n")
            connection.write(bytes)
            connection.waitForClose()
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(UpstreamCall(method: .get, url: server.url))
            #expect(outcome.failure == nil)
            #expect(outcome.body == bytes)
        }
    }
}
