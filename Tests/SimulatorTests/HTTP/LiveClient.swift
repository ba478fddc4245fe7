import Logging
import NIOCore
import NIOPosix

@testable import Simulator

/// A socket that speaks as much HTTP/1.1 as these tests need and hands bodies out as they arrive.
struct LiveClient {
    struct Head: Sendable {
        var status: Int
        /// Names in lower case.
        var headers: [String: String]
    }

    struct Response: Sendable {
        var head: Head
        var body = ByteBuffer()
        /// Sizes of the chunks of a chunked body.
        var chunkSizes: [Int] = []
        /// False when the connection ended before the body did.
        var isWhole = false

        var text: String { String(buffer: self.body) }
    }

    enum Problem: Error { case closed, malformed(String) }

    private var iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var pending = ByteBuffer()

    static func withConnection<Result: Sendable>(
        port: Int, _ body: (inout LiveClient) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var client = LiveClient(iterator: inbound.makeAsyncIterator(), outbound: outbound)
            return try await body(&client)
        }
    }

    private init(
        iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.iterator = iterator
        self.outbound = outbound
    }

    // MARK: - Requests

    func send(
        _ method: String, _ path: String, headers: [(String, String)] = [], body: ByteBuffer = ByteBuffer()
    ) async throws {
        var request = ByteBuffer(string: "\(method) \(path) HTTP/1.1\r\nHost: simulator.test:81\r\n")
        for (name, value) in headers { request.writeString("\(name): \(value)\r\n") }
        request.writeString("Content-Length: \(body.readableBytes)\r\n\r\n")
        request.writeImmutableBuffer(body)
        try await self.outbound.write(request)
    }

    mutating func post(_ path: String, json: String, headers: [(String, String)] = []) async throws -> Response {
        try await self.send(
            "POST", path, headers: headers + [("Content-Type", "application/json")], body: ByteBuffer(string: json))
        return try await self.response()
    }

    mutating func get(_ path: String, method: String = "GET", headers: [(String, String)] = []) async throws -> Response
    {
        try await self.send(method, path, headers: headers)
        return try await self.response(hasBody: method != "HEAD")
    }

    // MARK: - Responses

    mutating func head() async throws -> Head {
        let status = try await self.line()
        let words = status.split(separator: " ")
        guard words.count >= 2, words[0] == "HTTP/1.1", let code = Int(words[1]) else {
            throw Problem.malformed(status)
        }
        var head = Head(status: code, headers: [:])
        while true {
            let line = try await self.line()
            if line.isEmpty { return head }
            let sides = line.split(separator: ":", maxSplits: 1)
            guard sides.count == 2 else { throw Problem.malformed(line) }
            head.headers[sides[0].lowercased()] = String(sides[1].drop(while: \.isWhitespace))
        }
    }

    mutating func response(hasBody: Bool = true) async throws -> Response {
        var response = Response(head: try await self.head())
        guard hasBody else { return response }
        do {
            if let length = response.head.headers["content-length"].flatMap(Int.init) {
                while response.body.readableBytes < length {
                    if self.pending.readableBytes == 0 { try await self.receive() }
                    let count = min(self.pending.readableBytes, length - response.body.readableBytes)
                    if var piece = self.pending.readSlice(length: count) { response.body.writeBuffer(&piece) }
                }
            } else {
                while var chunk = try await self.chunk() {
                    response.chunkSizes.append(chunk.readableBytes)
                    response.body.writeBuffer(&chunk)
                }
            }
            response.isWhole = true
        } catch Problem.closed {
            response.body.writeBuffer(&self.pending)
        } catch is IOError {
            response.body.writeBuffer(&self.pending)
        }
        return response
    }

    /// The next chunk of a chunked body; nil after the last.
    mutating func chunk() async throws -> ByteBuffer? {
        let line = try await self.line()
        guard let size = Int(line, radix: 16) else { throw Problem.malformed(line) }
        let chunk = try await self.bytes(size)
        _ = try await self.line()
        return size == 0 ? nil : chunk
    }

    private mutating func bytes(_ count: Int) async throws -> ByteBuffer {
        while self.pending.readableBytes < count { try await self.receive() }
        return self.pending.readSlice(length: count) ?? ByteBuffer()
    }

    private mutating func line() async throws -> String {
        while true {
            if let end = self.pending.readableBytesView.firstIndex(of: 0x0A) {
                let line = self.pending.readString(length: end - self.pending.readerIndex + 1) ?? ""
                return String(line.dropLast().filter { $0 != "\r" && $0 != "\r\n" })
            }
            try await self.receive()
        }
    }

    private mutating func receive() async throws {
        guard var bytes = try await self.iterator.next() else { throw Problem.closed }
        self.pending.writeBuffer(&bytes)
    }
}

/// Runs a simulator on a free port while `body` works.
func withSimulator<Result: Sendable>(
    _ configuration: SimulatorConfiguration = SimulatorConfiguration(), time: SimulatorTime = ImpatientClock().time,
    _ body: (Int) async throws -> Result
) async throws -> Result {
    var configuration = configuration
    configuration.port = 0
    let (ports, continuation) = AsyncStream<Int>.makeStream()
    let simulator = Simulator(
        configuration: configuration, logger: Logger(label: "simulator.test"), time: time,
        onRunning: { address in
            continuation.yield(address.port ?? 0)
            continuation.finish()
        })
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await simulator.run() }
        var port = 0
        for await bound in ports { port = bound }
        let result = try await body(port)
        group.cancelAll()
        return result
    }
}
