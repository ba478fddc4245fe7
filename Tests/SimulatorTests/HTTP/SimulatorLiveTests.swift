import Foundation
import GatewayTesting
import Logging
import NIOCore
import ServiceLifecycle
import Testing

@testable import Simulator

@Suite struct SimulatorLiveTests {
    @Test func oneConnectionServesManyRequests() async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                #expect(try await client.get("/healthz").text == "ok\n")
                #expect(try await client.get("/healthz", method: "HEAD").head.status == 200)
                let index = try await client.get("/")
                for key in SimulatorScript.keys { #expect(index.text.contains(key)) }
                #expect(try await client.get("/nowhere").head.status == 404)
                let refused = try await client.get("/v1/images/generations")
                #expect(refused.head.status == 405 && refused.head.headers["allow"] == "POST")
                let json = #"{"prompt":"a","size":"16x16","stream":true}"#
                #expect(try await client.post("/v1/images/generations", json: json).isWhole)
                #expect(try await client.get("/healthz").text == "ok\n")
            }
        }
    }

    /// The wait for the next preview ends when the client does, not when the time has come.
    @Test(arguments: ["first_byte=1h", "duration=1h"])
    func aClientThatLeavesStopsTheWork(script: String) async throws {
        let clock = FrozenClock()
        try await withSimulator(time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                let body = ByteBuffer(string: #"{"prompt":"a","size":"16x16","stream":true,"partial_images":1}"#)
                try await client.send(
                    "POST", "/v1/images/generations",
                    headers: [("Content-Type", "application/json"), ("x-simulator", script)], body: body)
                for await _ in clock.began { break }
            }
            for await _ in clock.cancelled { break }
        }
    }

    /// A stalled stream sends what came before, and does not hold up the end of the simulator.
    @Test(arguments: ["head", "mid", "after_preview_0"])
    func aStallLastsUntilSomebodyLeaves(stall: String) async throws {
        try await withSimulator { port in
            try await LiveClient.withConnection(port: port) { client in
                let body = ByteBuffer(string: #"{"prompt":"a","size":"16x16","stream":true,"partial_images":1}"#)
                try await client.send(
                    "POST", "/v1/images/generations",
                    headers: [("Content-Type", "application/json"), ("x-simulator", "stall=\(stall)")], body: body)
                guard stall != "head" else { return }
                #expect(try await client.head().status == 200)
                #expect(try await client.chunk() != nil)
            }
        }
    }

    @Test func aStalledStreamEndsWithTheSimulator() async throws {
        let (stalled, continuation) = AsyncStream<Void>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (ports, portContinuation) = AsyncStream<Int>.makeStream()
            group.addTask {
                try await withSimulator { port in
                    portContinuation.yield(port)
                    for await _ in stalled { break }
                }
            }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            try await LiveClient.withConnection(port: port) { client in
                let body = ByteBuffer(string: #"{"prompt":"a","size":"16x16","stream":true,"partial_images":1}"#)
                try await client.send(
                    "POST", "/v1/images/generations",
                    headers: [("Content-Type", "application/json"), ("x-simulator", "stall=after_preview_0")],
                    body: body)
                _ = try await client.head()
                continuation.yield()
                while true {
                    guard let chunk = try? await client.chunk(), chunk.readableBytes > 0 else { break }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func anOrderlyShutdownCutsAStalledStream() async throws {
        let (ports, continuation) = AsyncStream<Int>.makeStream()
        let simulator = Simulator(
            configuration: SimulatorConfiguration(port: 0), logger: Logger(label: "simulator.test"),
            time: ImpatientClock().time, onRunning: { continuation.yield($0.port ?? 0) })
        let services = ServiceGroup(services: [simulator], logger: Logger(label: "simulator.test"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            var iterator = ports.makeAsyncIterator()
            let port = try #require(await iterator.next())
            try await LiveClient.withConnection(port: port) { client in
                let body = ByteBuffer(
                    string: #"{"prompt":"a [sim stall=after_preview_0]","size":"16x16","stream":true}"#)
                try await client.send("POST", "/v1/images/generations", body: body)
                _ = try await client.head()
                await services.triggerGracefulShutdown()
                await #expect(throws: (any Error).self) { while try await client.chunk() != nil {} }
            }
            try await group.waitForAll()
        }
    }

    // MARK: - Replay

    private static let recording =
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nretry-after: 12\r\nContent-Length: 999\r\n\r\n{}"

    @Test func aRecordedResponseIsReplayedWithItsHead() async throws {
        let replay = try ReplayTranscript(name: "x.http", contents: ByteBuffer(string: Self.recording))
        try await withSimulator(SimulatorConfiguration(replay: replay)) { port in
            try await LiveClient.withConnection(port: port) { client in
                let response = try await client.post("/anything/at/all", json: "{}")
                #expect(response.head.status == 429 && response.head.headers["retry-after"] == "12")
                #expect(response.text == "{}" && response.isWhole)
            }
        }
    }

    @Test(arguments: [
        "", "HTTP/1.1\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n",
    ])
    func otherRecordingsAreRefused(text: String) {
        #expect(throws: ReplayTranscript.Problem.self) {
            try ReplayTranscript(name: "x.http", contents: ByteBuffer(string: text))
        }
    }

    @Test(
        .enabled(if: SharedFiles.has(SharedFiles.fixtures), "needs the shared fixtures"),
        arguments: ["openai-images-generate.sse", "openai-images-generate.json", "openai-images-truncated.sse"])
    func fixturesAreReplayedByteByByte(name: String) async throws {
        let bytes = try SharedFiles.bytes(SharedFiles.fixtures.appendingPathComponent(name))
        let clock = ImpatientClock()
        let replay = try ReplayTranscript(name: name, contents: ByteBuffer(bytes: bytes), pace: .seconds(1))
        try await withSimulator(SimulatorConfiguration(replay: replay), time: clock.time) { port in
            try await LiveClient.withConnection(port: port) { client in
                let response = try await client.post("/v1/images/generations", json: "{}")
                #expect(Array(response.body.readableBytesView) == bytes)
                let type = response.head.headers["content-type"] ?? ""
                #expect(type.hasPrefix(name.hasSuffix(".sse") ? "text/event-stream" : "application/json"))
            }
        }
        #expect((clock.now.offset > .zero) == name.hasSuffix(".sse"))
    }
}
