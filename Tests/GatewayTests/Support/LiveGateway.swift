import Foundation
import GatewayTesting
import ImageGeneration
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Simulator
import Synchronization
import Transport

@testable import Gateway

/// A whole gateway in this process: real listeners on free ports, the real transport, files in a folder of its own.
struct LiveGateway: Sendable {
    let port: Int
    let adminPort: Int
    /// Removed when the gateway ends.
    let folder: URL
    let transport: CurlTransport
    private let group: ServiceGroup

    var configurationFile: URL { self.folder.appendingPathComponent("routes.json") }

    struct Settings: Sendable {
        /// Members of the file's top level behind `server` and `admin`.
        var file: String
        /// Members of `server` behind its `listen`.
        var server = #""drain": "0s""#
        var limits = ConnectionLimits()
        var clock: any Clock<Duration> = ContinuousClock()
        var withSimulator = false
        var now: @Sendable () -> Timestamp = Timestamp.system
        var steady: @Sendable () -> Int64 = { Int64(NIODeadline.now().uptimeNanoseconds) }
        var logger = LiveGateway.logger

        init(file: String) { self.file = file }

        var text: String {
            """
            {"server": {"listen": "127.0.0.1:0", \(self.server)}, "admin": {"listen": "127.0.0.1:0"},
            \(self.file)}
            """
        }
    }

    /// Runs a gateway while `body` does.
    static func run(_ settings: Settings, _ body: @Sendable (LiveGateway) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("gateway-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        if settings.withSimulator {
            try await self.withSimulator { try await self.run(settings, folder: folder, simulator: $0, body) }
        } else {
            try await self.run(settings, folder: folder, simulator: nil, body)
        }
    }

    private static func run(
        _ settings: Settings, folder: URL, simulator: String?, _ body: @Sendable (LiveGateway) async throws -> Void
    ) async throws {
        let file = folder.appendingPathComponent("routes.json")
        try Data(settings.text.utf8).write(to: file)
        let loaded = RoutesFile.load(file.path)
        guard let table = loaded.table else { throw Problems(lines: loaded.lines) }
        let transport = try CurlTransport(TransportConfiguration(threads: 1))
        try transport.start()
        defer { transport.shutdown() }
        let (ports, bound) = AsyncStream.makeStream(of: (Int, Int).self)
        let server = try GatewayServer(
            GatewayServer.Options(
                configurationPath: file.path, table: table, simulator: simulator, stateFolder: folder.path + "/state",
                limits: settings.limits, transport: transport, transportStatistics: { transport.statistics },
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton, now: settings.now, steady: settings.steady,
                clock: settings.clock,
                onListening: { port, adminPort in bound.yield((port, adminPort)) }), logger: settings.logger)
        let group = ServiceGroup(configuration: .init(services: server.services, logger: self.logger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { bound.finish() }
                try await group.run()
            }
            guard let (port, adminPort) = await ports.first(where: { _ in true }) else {
                try await tasks.next()
                throw Problems(lines: ["the gateway did not start"])
            }
            let gateway = LiveGateway(
                port: port, adminPort: adminPort, folder: folder, transport: transport, group: group)
            do {
                try await body(gateway)
            } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private static func withSimulator(_ body: @Sendable (_ root: String) async throws -> Void) async throws {
        let (ports, bound) = AsyncStream.makeStream(of: Int.self)
        let simulator = Simulator(
            configuration: SimulatorConfiguration(
                host: "127.0.0.1", port: 0, defaults: SimulatorScript(profile: .fast)),
            logger: self.logger
        ) { address in
            if let port = address.port { bound.yield(port) }
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { bound.finish() }
                try await simulator.run()
            }
            guard let port = await ports.first(where: { _ in true }) else { throw Problems(lines: ["no simulator"]) }
            try await body("http://127.0.0.1:\(port)")
            tasks.cancelAll()
        }
    }

    private static let logger = Logger(label: "gateway-tests") { _ in SwiftLogNoOpLogHandler() }

    struct Problems: Error, CustomStringConvertible {
        let lines: [String]
        var description: String { self.lines.joined(separator: "\n") }
    }
}

// MARK: - What tests do with it

extension LiveGateway {
    func connect(receiveBuffer: Int? = nil) async throws -> StreamingClient {
        try await StreamingClient.connect(port: self.port, receiveBuffer: receiveBuffer)
    }

    /// One request on a connection of its own.
    func send(
        _ method: String, _ target: String, headers: String = "", json: String? = nil
    ) async throws -> (head: StreamingClient.Head, body: ByteBuffer) {
        let client = try await self.connect()
        if let json {
            try await client.write(StreamingClient.request(target, json: json, headers: headers))
        } else {
            try await client.write("\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n\(headers)\r\n")
        }
        let head = try await client.readHead(answersHEAD: method == "HEAD")
        return (head, try await client.readBody())
    }

    /// A job's events as far as its stream goes.
    func events(
        _ job: String, query: String = "", lastEventID: String? = nil
    ) async throws -> (head: StreamingClient.Head, events: [StreamingClient.Event]) {
        let client = try await self.connect()
        let header = lastEventID.map { "Last-Event-ID: \($0)\r\n" } ?? ""
        try await client.write("GET /v1/jobs/\(job)/events\(query) HTTP/1.1\r\nHost: localhost\r\n\(header)\r\n")
        let head = try await client.readHead()
        return (head, try await client.readEvents())
    }

    /// Asks for the job's snapshot until it is as wanted; the test's time limit bounds it.
    func snapshot(_ job: String, until isWanted: (JSONObject) -> Bool) async throws -> JSONObject {
        while true {
            try Task.checkCancellation()
            let (head, body) = try await self.send("GET", "/v1/jobs/\(job)")
            guard head.status == 200 else { throw Problems(lines: ["the job's status is \(head.status)"]) }
            let snapshot = try JSONObject(body)
            if isWanted(snapshot) { return snapshot }
        }
    }

    /// Begins to drain, as SIGTERM does.
    func shutDown() async { await self.group.triggerGracefulShutdown() }

    func rewrite(_ text: String) throws {
        try Data(text.utf8).write(to: self.configurationFile, options: .atomic)
    }

    struct Gauges: Decodable, Equatable {
        var jobs = 0
        var streams = 0
        var upstream_calls = 0
        var connections = 0
        var payload_bytes = 0
        var finished_jobs = 0
        var finished_payload_bytes = 0
        var limits = Limits()

        struct Limits: Decodable, Equatable {
            var keys = 0
            var permits = 0
            var refused = 0
            var shadow_refused = 0
        }

        /// No payload is held for a response or a job that runs.
        var holdsOnlyFinishedJobs: Bool { self.payload_bytes == self.finished_payload_bytes }
    }

    func gauges() async throws -> Gauges {
        let client = try await StreamingClient.connect(port: self.adminPort)
        try await client.write("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        _ = try await client.readHead()
        return try JSONDecoder().decode(Gauges.self, from: Data(try await client.readBody().readableBytesView))
    }

    /// Asks until the gauges are as wanted; the test's time limit bounds it.
    func wait(until isWanted: (Gauges) -> Bool) async throws {
        while !isWanted(try await self.gauges()) { try Task.checkCancellation() }
    }
}

extension Timestamp {
    @Sendable static func system() -> Timestamp {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }
}

/// JSON text of routes files.
enum LiveFile {
    /// One upstream `lab` at `url` and these routes, open to all.
    static func file(
        upstream url: String, upstreamMembers: String = "", defaults: String = "", more: String = "", routes: String
    ) -> String {
        """
        "upstreams": {"lab": {"provider": "openai-images", "base_url": "\(url)"\(upstreamMembers)}}\(more),
        "route_defaults": {"auth": "public", "public_without_limits": true, "upstreams": ["lab"],
          "heartbeat": {"every": "100ms"}\(defaults)},
        "routes": [\(routes)]
        """
    }

    static let unified = #"{"path": "/v1/generate", "dialect": "unified"}"#
    static let openAI = #"{"path": "/v1/images/generations", "dialect": "openai-images"}"#
    static let both = unified + ", " + openAI
}
