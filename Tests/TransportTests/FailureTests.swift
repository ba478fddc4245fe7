import Glibc
import HTTPTypes
import NIOCore
import Testing

@testable import Transport

/// Calls that never get a response, each with its reason.
@Suite(.timeLimit(.minutes(2))) struct FailureTests {
    private func perform(_ url: String, _ timeouts: UpstreamTimeouts = .init(), body: [ByteBuffer] = []) async throws
        -> CallRecorder.Outcome
    {
        try await CurlTransport.with { transport in
            await transport.perform(
                UpstreamCall(method: body.isEmpty ? .get : .post, url: url, body: body, timeouts: timeouts))
        }
    }

    @Test func closedPort() async throws {
        let server = ScriptedServer()
        server.stop()
        let failure = try await self.perform("http://127.0.0.1:1/").failure
        #expect(failure?.reason == .connect)
        #expect(failure?.requestSent == false)
    }

    @Test(arguments: ["nonsense", "ftp://127.0.0.1/x", "http://"]) func unusableURL(url: String) async throws {
        let failure = try await self.perform(url).failure
        #expect(failure?.reason == .other)
        #expect(failure?.requestSent == false)
    }

    @Test func unknownName() async throws {
        try await CurlTransport.with { transport in
            // The second answer comes from the cache.
            for _ in 0..<2 {
                let failure = await transport.perform(UpstreamCall(method: .get, url: "http://no-such.invalid/"))
                    .failure
                #expect(failure?.reason == .resolve)
                #expect(failure?.requestSent == false)
                #expect(failure?.detail.contains("no-such.invalid") == true)
            }
            #expect(transport.statistics.openCalls == 0)
        }
    }

    @Test func nameFromTheHostsFile() async throws {
        let server = ScriptedServer { connection in
            guard let request = connection.readRequest() else { return }
            connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\(request.head)")
        }
        defer { server.stop() }
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, 255)
        let host = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        try await CurlTransport.with { transport in
            for _ in 0..<2 {
                let outcome = await transport.perform(
                    UpstreamCall(
                        method: .get, url: "http://\(host):\(server.port)/", timeouts: .init(connect: .seconds(20))))
                // A machine that does not know its own name cannot show more.
                if outcome.failure?.reason == .resolve { continue }
                #expect(outcome.failure == nil)
                #expect(outcome.text.lowercased().contains("host: \(host.lowercased()):\(server.port)"))
            }
        }
    }

    @Test func connectionThatHangs() async throws {
        let server = ScriptedServer(backlog: 0)
        let fillers = server.fillBacklog()
        defer { for filler in fillers { close(filler) } }
        let failure = try await self.perform(server.url, .init(connect: .milliseconds(150))).failure
        #expect(failure?.reason == .connectTimeout)
        #expect(failure?.requestSent == false)
        let total = try await self.perform(server.url, .init(connect: .seconds(60), total: .milliseconds(100))).failure
        #expect(total?.reason == .totalTimeout)
        #expect(total?.requestSent == false)
    }

    @Test func noFirstByte() async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.waitForClose()
        }
        defer { server.stop() }
        for size in [0, 3, 200_000] {
            let body = size == 0 ? [] : [ByteBuffer(repeating: 1, count: size)]
            let outcome = try await self.perform(server.url, .init(firstByte: .milliseconds(100)), body: body)
            #expect(outcome.failure?.reason == .firstByteTimeout)
            #expect(outcome.failure?.requestSent == true)
            #expect(outcome.head == nil)
        }
    }

    /// An upstream that stops reading in the middle of the request.
    @Test func uploadThatHangs() async throws {
        let server = ScriptedServer { connection in
            guard connection.readHead() != nil else { return }
            connection.write("HTTP/1.1 100 Continue\r\n\r\n")
            Signal.blockForever(until: connection)
        }
        defer { server.stop() }
        let body = [ByteBuffer(repeating: 1, count: 50_000_000)]
        let failure = try await self.perform(server.url, .init(firstByte: .milliseconds(150)), body: body).failure
        #expect(failure?.reason == .firstByteTimeout)
        #expect(failure?.requestSent == true)
    }

    @Test(arguments: ["", "some"]) func stallInTheBody(start: String) async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n\(start)")
            connection.waitForClose()
        }
        defer { server.stop() }
        let outcome = try await self.perform(
            server.url,
            .init(connect: .seconds(60), firstByte: .seconds(60), idle: .milliseconds(100), total: .seconds(60)))
        #expect(outcome.failure?.reason == .idleTimeout)
        #expect(outcome.head?.status == 200)
        #expect(outcome.text == start)
    }

    @Test func endlessDripMeetsTheTotal() async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.write("HTTP/1.1 200 OK\r\n\r\n")
            while connection.write("x") { usleep(2000) }
        }
        defer { server.stop() }
        let outcome = try await self.perform(server.url, .init(idle: .seconds(60), total: .milliseconds(200)))
        #expect(outcome.failure?.reason == .totalTimeout)
        #expect(outcome.pieces > 0)
    }

    @Test func shutdownEndsWhatIsOpen() async throws {
        let server = ScriptedServer { connection in
            guard connection.readRequest() != nil else { return }
            connection.waitForClose()
        }
        defer { server.stop() }
        let transport = try CurlTransport(.init(threads: 2))
        try transport.start()
        let recorder = CallRecorder()
        let session = transport.open(recorder)
        session.send(UpstreamCall(method: .get, url: server.url), id: UpstreamCallID(1))
        await session.settle()
        transport.shutdown()
        transport.shutdown()
        #expect(recorder[UpstreamCallID(1)].failure?.reason == .other)
        session.send(UpstreamCall(method: .get, url: server.url), id: UpstreamCallID(2))
        session.close()
        #expect(transport.statistics == TransportStatistics(threads: 2))
    }

    @Test func badCertificateFileIsReported() {
        #expect(throws: TransportStartError.self) {
            try CurlTransport(.init(threads: 1, additionalCertificates: "/nonexistent/bundle.pem"))
        }
    }
}

extension Signal {
    /// Keeps a connection open without reading, until its client has gone for certain: a write fails then.
    static func blockForever(until connection: ServerConnection) {
        while connection.write("HTTP/1.1 100 Continue\r\n\r\n") { usleep(20_000) }
    }
}
