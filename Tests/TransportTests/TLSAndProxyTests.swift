import Foundation
import HTTPTypes
import NIOCore
import Synchronization
import Testing

@testable import Transport

@Suite(.timeLimit(.minutes(2)), .enabled(if: TLSServer.isAvailable, "needs the openssl command"))
struct TLSTests {
    @Test func trustedOnlyWithItsCertificate() async throws {
        let server = try TLSServer(name: "localhost")
        defer { server.stop() }
        let url = "https://localhost:\(server.port)/"
        try await CurlTransport.with(.init(threads: 1, additionalCertificates: server.certificate)) { transport in
            for _ in 0..<2 {
                let outcome = await transport.perform(UpstreamCall(method: .get, url: url))
                #expect(outcome.failure == nil, "\(outcome.failure?.detail ?? "")")
                #expect(outcome.head?.status == 200)
                #expect(outcome.text.contains("s_server"))
            }
            let wrongHost = await transport.perform(
                UpstreamCall(method: .get, url: "https://127.0.0.1:\(server.port)/"))
            #expect(wrongHost.failure?.reason == .tls)
            #expect(wrongHost.failure?.requestSent == false)
        }
        try await CurlTransport.with { transport in
            let untrusted = await transport.perform(UpstreamCall(method: .get, url: url))
            #expect(untrusted.failure?.reason == .tls)
            #expect(untrusted.failure?.requestSent == false)
        }
    }

    @Test func plainServerWhereTLSIsExpected() async throws {
        let server = ScriptedServer { connection in
            connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.waitForClose()
        }
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(
                UpstreamCall(method: .post, url: "https://127.0.0.1:\(server.port)/", body: [ByteBuffer(string: "x")]))
            #expect(outcome.failure?.reason == .tls)
            #expect(outcome.failure?.requestSent == false)
        }
    }

    @Test func tunnelThroughAProxy() async throws {
        let upstream = try TLSServer(name: "upstream.example")
        defer { upstream.stop() }
        let port = upstream.port
        let target = Mutex("")
        let proxy = ScriptedServer { connection in
            guard let head = connection.readHead() else { return }
            target.withLock { $0 = head }
            connection.write("HTTP/1.1 200 Connected\r\nX-Proxy: 1\r\n\r\n")
            connection.tunnel(toPort: port)
        }
        defer { proxy.stop() }
        try await CurlTransport.with(.init(threads: 1, additionalCertificates: upstream.certificate)) { transport in
            // The name exists only for the proxy.
            let outcome = await transport.perform(
                UpstreamCall(
                    method: .get, url: "https://upstream.example/", headers: [.authorization: "Bearer secret"],
                    connection: .init(proxy: proxy.url)))
            #expect(outcome.failure == nil, "\(outcome.failure?.detail ?? "")")
            #expect(outcome.head?.headers[HTTPField.Name("X-Proxy")!] == nil)
            #expect(outcome.text.contains("s_server"))
        }
        #expect(target.withLock { $0 }.hasPrefix("CONNECT upstream.example:443 HTTP/1.1\r\n"))
        #expect(!target.withLock { $0 }.contains("secret"))
    }
}

@Suite(.timeLimit(.minutes(2))) struct ProxyTests {
    @Test func absoluteForm() async throws {
        let proxy = ScriptedServer { connection in
            while let request = connection.readRequest() {
                let line = request.head.prefix { $0 != "\r\n" }
                connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(line.utf8.count)\r\n\r\n\(line)")
            }
        }
        defer { proxy.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(
                UpstreamCall(
                    method: .get, url: "http://only-the-proxy-knows.example/x", connection: .init(proxy: proxy.url)))
            #expect(outcome.text == "GET http://only-the-proxy-knows.example/x HTTP/1.1")
        }
    }

    @Test func refusedTunnel() async throws {
        let proxy = ScriptedServer { connection in
            guard connection.readHead() != nil else { return }
            connection.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        }
        defer { proxy.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(
                UpstreamCall(
                    method: .post, url: "https://upstream.example/", body: [ByteBuffer(string: "x")],
                    connection: .init(proxy: proxy.url)))
            #expect(outcome.failure?.reason == .connect)
            #expect(outcome.failure?.requestSent == false)
            #expect(outcome.head == nil)
        }
    }
}

/// `openssl s_server` with a certificate of its own, answering every GET with a page about the connection.
final class TLSServer {
    static let isAvailable = FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")

    let port: Int
    let certificate: String
    private let folder: URL
    private let process: Process

    init(name: String) throws {
        self.folder = FileManager.default.temporaryDirectory.appendingPathComponent("tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        self.certificate = self.folder.appendingPathComponent("certificate.pem").path
        let key = self.folder.appendingPathComponent("key.pem").path
        let request = Self.process([
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=\(name)", "-addext", "subjectAltName=DNS:\(name)", "-keyout", key, "-out", self.certificate,
        ])
        request.standardError = FileHandle.nullDevice
        try request.run()
        request.waitUntilExit()
        self.process = Self.process(["s_server", "-accept", "0", "-cert", self.certificate, "-key", key, "-www"])
        let output = Pipe()
        self.process.standardOutput = output
        self.process.standardError = FileHandle.nullDevice
        try self.process.run()
        var text = ""
        while !text.contains("ACCEPT"), case let data = output.fileHandleForReading.availableData, !data.isEmpty {
            text += String(decoding: data, as: UTF8.self)
        }
        let line = text.split(separator: "\n").first { $0.hasPrefix("ACCEPT") } ?? ""
        self.port = line.split(separator: ":").last.flatMap { Int($0) } ?? 0
        Thread.detachNewThread { while !output.fileHandleForReading.availableData.isEmpty {} }
    }

    func stop() {
        self.process.terminate()
        try? FileManager.default.removeItem(at: self.folder)
    }

    private static func process(_ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        return process
    }
}
