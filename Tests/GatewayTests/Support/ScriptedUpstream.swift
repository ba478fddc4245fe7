import NIOCore
import NIOPosix

/// An upstream on a bare socket: the test reads each request and writes the answer's bytes itself, whatever they are.
final class ScriptedUpstream: Sendable {
    let port: Int
    private let server: any Channel
    private let visits: AsyncStream<Visit>

    /// One request and the connection it came on.
    struct Visit: Sendable {
        let head: String
        let body: String
        fileprivate let channel: any Channel

        func write(_ text: String) async throws { try await self.channel.writeAndFlush(ByteBuffer(string: text)) }

        /// A whole answer of any bytes.
        func write(_ body: ByteBuffer, type: String) async throws {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\nContent-Length: \(body.readableBytes)\r\n\r\n"
            var answer = ByteBuffer(string: head)
            answer.writeImmutableBuffer(body)
            try await self.channel.writeAndFlush(answer)
        }

        /// For more than the gateway takes at once.
        func writeWithoutWaiting(_ text: String) {
            self.channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
        }

        /// Writes and closes; the gateway may have gone before it took everything.
        func finish(_ text: String) async throws {
            if !text.isEmpty { try? await self.channel.writeAndFlush(ByteBuffer(string: text)) }
            do { try await self.channel.close() } catch ChannelError.alreadyClosed {}
        }

        func close() async throws { try await self.finish("") }

        /// Returns once the gateway has let the connection go.
        func waitForClose() async throws { try await self.channel.closeFuture.get() }

        var isOpen: Bool { self.channel.isActive }
    }

    private init(server: any Channel, visits: AsyncStream<Visit>) {
        self.server = server
        self.port = server.localAddress?.port ?? 0
        self.visits = visits
    }

    deinit { self.server.close(promise: nil) }

    var url: String { "http://127.0.0.1:\(self.port)/v1" }

    static func start() async throws -> ScriptedUpstream {
        let (visits, arrived) = AsyncStream.makeStream(of: Visit.self)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RequestCollector(arrived))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return ScriptedUpstream(server: server, visits: visits)
    }

    /// The next request, whole. Used from one task.
    func next() async throws -> Visit {
        for await visit in self.visits { return visit }
        throw CancellationError()
    }

    /// Nobody listens from here on.
    func stop() async throws { try await self.server.close() }

    static let eventsHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"

    /// A whole answer of known length.
    static func answer(_ status: String, type: String = "application/json", _ body: String) -> String {
        "HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static func chunk(_ text: String) -> String {
        String(text.utf8.count, radix: 16) + "\r\n" + text + "\r\n"
    }
}

private final class RequestCollector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let arrived: AsyncStream<ScriptedUpstream.Visit>.Continuation
    private var bytes = ByteBuffer()

    init(_ arrived: AsyncStream<ScriptedUpstream.Visit>.Continuation) { self.arrived = arrived }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var piece = self.unwrapInboundIn(data)
        self.bytes.writeBuffer(&piece)
        let text = String(buffer: self.bytes)
        guard let end = text.start(of: "\r\n\r\n") else { return }
        let head = String(text[..<end])
        let length = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.split(separator: ":")[1].drop { $0 == " " }) }
        let body = text.utf8[end...].dropFirst(4)
        guard body.count >= length ?? 0 else { return }
        self.bytes.clear()
        self.arrived.yield(ScriptedUpstream.Visit(head: head, body: String(Substring(body)), channel: context.channel))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

extension String {
    /// Where the text first occurs.
    fileprivate func start(of text: String) -> String.Index? {
        self.utf8.firstRange(of: Array(text.utf8))?.lowerBound
    }
}
