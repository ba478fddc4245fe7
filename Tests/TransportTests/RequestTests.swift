import HTTPTypes
import NIOCore
import Synchronization
import Testing

@testable import Transport

/// What leaves, on which connection, and how often.
@Suite(.timeLimit(.minutes(2))) struct RequestTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    /// Answers every request on every connection, and keeps them.
    private final class Requests: Sendable {
        private let list = Mutex<[(head: String, body: [UInt8], connection: Int)]>([])
        var all: [(head: String, body: [UInt8], connection: Int)] { self.list.withLock { $0 } }

        func server(answer: String = RequestTests.ok) -> ScriptedServer {
            ScriptedServer { connection in
                while let request = connection.readRequest() {
                    self.note(request, connection)
                    connection.write(answer)
                }
            }
        }

        func note(_ request: (head: String, body: [UInt8]), _ connection: ServerConnection) {
            self.list.withLock { $0.append((request.head, request.body, connection.index)) }
        }
    }

    private static func lines(_ head: String) -> [String] {
        head.split(separator: "\r\n").map { $0.lowercased() }.sorted()
    }

    @Test func sendsOnlyWhatWasAsked() async throws {
        let requests = Requests()
        let server = requests.server()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let call = UpstreamCall(
                method: .get, url: server.url + "/a/../b?x=%20y",
                headers: [.authorization: "Bearer k", .expect: "100-continue", HTTPField.Name("X-Empty")!: ""])
            #expect(await transport.perform(call).failure == nil)
        }
        let head = try #require(requests.all.first?.head)
        #expect(head.hasPrefix("GET /a/../b?x=%20y HTTP/1.1\r\n"))
        #expect(
            Self.lines(head).dropFirst(0).filter { !$0.hasPrefix("get ") } == [
                "authorization: bearer k", "host: 127.0.0.1:\(server.port)", "x-empty:",
            ])
    }

    @Test(arguments: [[], [0], [1], [5, 0, 3], [16_384], [16_385], [10_000, 10_000], [1_000_000, 1, 2_000_000]])
    func bodyArrivesWhole(sizes: [Int]) async throws {
        let requests = Requests()
        let server = requests.server()
        defer { server.stop() }
        let pieces = sizes.map { size in ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7 + size) })
        }
        let whole = pieces.flatMap { Array($0.readableBytesView) }
        try await CurlTransport.with { transport in
            for method in [HTTPRequest.Method.post, .put, .patch] {
                let call = UpstreamCall(
                    method: method, url: server.url,
                    headers: [.contentType: "application/json", .contentLength: "7", .transferEncoding: "chunked"],
                    body: pieces)
                #expect(await transport.perform(call).failure == nil)
            }
        }
        #expect(requests.all.map { String($0.head.prefix(4)) } == ["POST", "PUT ", "PATC"])
        for request in requests.all {
            #expect(request.body == whole)
            #expect(
                Self.lines(request.head).filter { $0.hasPrefix("content-") } == [
                    "content-length: \(whole.count)", "content-type: application/json",
                ])
            #expect(!request.head.lowercased().contains("expect"))
            #expect(!request.head.lowercased().contains("transfer-encoding"))
        }
    }

    @Test func methodsWithoutBody() async throws {
        let requests = Requests()
        let server = requests.server()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            for method in [HTTPRequest.Method.get, .delete, .options] {
                #expect(await transport.perform(UpstreamCall(method: method, url: server.url)).failure == nil)
            }
        }
        #expect(requests.all.map { $0.head.prefix { $0 != " " } } == ["GET", "DELETE", "OPTIONS"])
        #expect(requests.all.allSatisfy { !$0.head.lowercased().contains("content-length") })
    }

    @Test func connectionsAreUsedAgain() async throws {
        let requests = Requests()
        let server = requests.server()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            for _ in 0..<20 {
                let call = UpstreamCall(method: .post, url: server.url, body: [ByteBuffer(string: "x")])
                #expect(await transport.perform(call).text == "ok")
            }
            #expect(transport.statistics.openCalls == 0)
            #expect(transport.statistics.openSockets == 1)
            #expect(transport.statistics.idleConnections == 1)
        }
        #expect(server.acceptedConnections == 1)
        #expect(requests.all.count == 20)
    }

    @Test func idleConnectionsAreBounded() async throws {
        try await CurlTransport.with(.init(threads: 1, idleConnectionsPerThread: 8)) { transport in
            let requests = Requests()
            let answering = requests.server()
            defer { answering.stop() }
            let recorder = CallRecorder()
            let session = transport.open(recorder)
            for number in 0..<40 {
                session.send(UpstreamCall(method: .get, url: answering.url), id: UpstreamCallID(number))
            }
            await recorder.wait { $0.endedCalls == 40 }
            await session.settle()
            #expect(transport.statistics.openCalls == 0)
            #expect(transport.statistics.idleConnections <= 9)
            session.close()
        }
    }

    /// The connection dies after the second request arrived: what may be repeated is, what may not fails.
    @Test(arguments: [HTTPRequest.Method.get, .post, .put, .delete], [0, 5, 100_000])
    func neverSubmitsTwice(method: HTTPRequest.Method, size: Int) async throws {
        let requests = Requests()
        let server = ScriptedServer { connection in
            while let request = connection.readRequest() {
                requests.note(request, connection)
                // The first connection answers once; the next request on it is taken and lost.
                if connection.index == 0, requests.all.count > 1 { return connection.close() }
                connection.write(Self.ok)
            }
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            #expect(await transport.perform(UpstreamCall(method: .get, url: server.url)).failure == nil)
            let body = size == 0 ? [] : [ByteBuffer(repeating: 1, count: size)]
            let outcome = await transport.perform(UpstreamCall(method: method, url: server.url, body: body))
            if method == .get {
                #expect(outcome.failure == nil)
                #expect(outcome.text == "ok")
                #expect(requests.all.map(\.connection) == [0, 0, 1])
            } else {
                #expect(outcome.failure?.reason == .truncated)
                #expect(outcome.failure?.requestSent == true)
                #expect(requests.all.map(\.connection) == [0, 0])
            }
        }
    }

    /// A kept connection that the upstream has closed is noticed before anything is sent.
    @Test func deadIdleConnectionIsNotUsed() async throws {
        let closed = Signal()
        let requests = Requests()
        let server = ScriptedServer { connection in
            guard let request = connection.readRequest() else { return }
            requests.note(request, connection)
            connection.write(Self.ok)
            connection.close()
            closed.raise()
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            for _ in 0..<2 {
                let call = UpstreamCall(method: .post, url: server.url, body: [ByteBuffer(string: "x")])
                #expect(await transport.perform(call).failure == nil)
                await closed.wait()
            }
        }
        #expect(requests.all.map(\.connection) == [0, 1])
    }

    /// An upstream that answers before it has read everything.
    @Test func earlyAnswerToAnUpload() async throws {
        let server = ScriptedServer { connection in
            guard connection.readHead() != nil else { return }
            connection.write("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            connection.waitForClose()
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let body = [ByteBuffer(repeating: 1, count: 30_000_000)]
            let outcome = await transport.perform(UpstreamCall(method: .post, url: server.url, body: body))
            #expect(outcome.head?.status == 413)
            #expect(outcome.text == "no")
        }
    }
}
