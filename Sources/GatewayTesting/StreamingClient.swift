import Glibc
package import NIOCore
import NIOPosix

/// An HTTP/1 client on a bare socket that hides nothing: what came in one read stays apart, chunks stay chunks, and the
/// connection can be left in every way a real client leaves.
///
/// It reads only when asked, so a client that is not asked is a client that does not read. Used from one task.
package final class StreamingClient {
    private let channel: any Channel
    private let inbox: NIOLoopBound<Inbox>
    private var buffer = ByteBuffer()
    private var framing = Framing.none
    private var lines = ByteBuffer()
    private var fields = Fields()

    private enum Framing {
        case none
        case length(Int)
        case chunked
        case untilClose
    }

    private struct Fields {
        var name: String?
        var id: String?
        var retry: String?
        var data: [String] = []
        var isEmpty: Bool { self.name == nil && self.id == nil && self.retry == nil && self.data.isEmpty }
    }

    package struct Head: Sendable {
        package let version: String
        package let status: Int
        /// Names in lower case, in order.
        package let fields: [(name: String, value: String)]

        package subscript(name: String) -> String? { self.fields.first { $0.name == name }?.value }
    }

    package enum Item: Sendable, Equatable {
        case event(Event)
        /// The text behind the colon.
        case comment(String)
    }

    package struct Event: Sendable, Equatable {
        package let name: String?
        package let id: String?
        package let retry: String?
        package let data: String
    }

    /// What a well-behaved server never does.
    package struct Violation: Error, CustomStringConvertible {
        package let description: String

        package init(description: String) { self.description = description }
    }

    private init(channel: any Channel, inbox: NIOLoopBound<Inbox>) {
        self.channel = channel
        self.inbox = inbox
    }

    deinit { self.channel.close(promise: nil) }

    /// - Parameter receiveBuffer: bytes the kernel may hold for a client that does not read; nil for the system's choice.
    package static func connect(port: Int, receiveBuffer: Int? = nil) async throws -> StreamingClient {
        var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 << 10))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        if let receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(receiveBuffer))
        }
        let (channel, inbox) = try await bootstrap.connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                let inbox = Inbox(eventLoop: channel.eventLoop)
                try channel.pipeline.syncOperations.addHandler(inbox)
                return (channel, NIOLoopBound(inbox, eventLoop: channel.eventLoop))
            }
        }
        return StreamingClient(channel: channel, inbox: inbox)
    }
}

// MARK: - Sending and leaving

extension StreamingClient {
    package func write(_ text: String) async throws { try await self.write(ByteBuffer(string: text)) }

    package func write(_ bytes: ByteBuffer) async throws { try await self.channel.writeAndFlush(bytes) }

    /// Writes without waiting for the server to take it; a server that refuses early may reset the connection.
    package func writeWithoutWaiting(_ bytes: ByteBuffer) { self.channel.writeAndFlush(bytes, promise: nil) }

    /// A JSON request with the framing HTTP/1.1 wants.
    package func post(_ path: String, json: String, headers: String = "") async throws {
        try await self.write(Self.request(path, json: json, headers: headers))
    }

    package static func request(_ path: String, json: String, headers: String = "") -> String {
        "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + "Content-Length: \(json.utf8.count)\r\n\(headers)\r\n\(json)"
    }

    /// Says that nothing more comes, and stays to read.
    package func halfClose() async throws { try await self.channel.close(mode: .output) }

    package func close() async throws {
        do { try await self.channel.close() } catch ChannelError.alreadyClosed {}
    }

    /// Leaves with a reset instead of an orderly end.
    package func reset() async throws {
        try await (self.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        try await self.close()
    }
}

// MARK: - Reading

extension StreamingClient {
    /// What one read of the socket brings; nil once the server has closed.
    package func read() async throws -> ByteBuffer? {
        let inbox = self.inbox
        return try await inbox.eventLoop.flatSubmit { inbox.value.next() }.get()
    }

    /// Reads on and discards until the server closes, whether orderly or not.
    package func waitForClose() async {
        while let piece = try? await self.read() { _ = piece }
    }

    /// - Parameter isHead: whether the request was HEAD, so that no body follows whatever the fields say.
    package func readHead(answersHEAD isHead: Bool = false) async throws -> Head {
        let end = Array("\r\n\r\n".utf8)
        while true {
            let view = self.buffer.readableBytesView
            if let range = view.firstRange(of: end) {
                let text = self.buffer.readString(length: range.upperBound - view.startIndex) ?? ""
                let head = try Self.parse(text)
                self.framing = isHead ? .none : try Self.framing(head)
                return head
            }
            guard try await self.fill() else { throw Violation(description: "closed before the head: \(self.rest)") }
        }
    }

    /// The next piece of the body: one whole chunk, or what is there; nil at the body's end.
    package func readPiece() async throws -> ByteBuffer? {
        switch self.framing {
        case .none: return nil
        case .chunked: return try await self.readChunk()
        case .length(let rest):
            guard rest > 0 else { return nil }
            try await self.require(1)
            let piece = self.buffer.readSlice(length: min(rest, self.buffer.readableBytes)) ?? ByteBuffer()
            self.framing = .length(rest - piece.readableBytes)
            return piece
        case .untilClose:
            if self.buffer.readableBytes == 0 { guard try await self.fill() else { return nil } }
            return self.buffer.readSlice(length: self.buffer.readableBytes)
        }
    }

    /// The rest of the body.
    package func readBody() async throws -> ByteBuffer {
        var body = ByteBuffer()
        while var piece = try await self.readPiece() { body.writeBuffer(&piece) }
        return body
    }

    /// The next server-sent event or comment; nil at the body's end. Throws where the body ends inside an event.
    package func readItem() async throws -> Item? {
        while true {
            while let line = self.takeLine() {
                if let item = try self.take(line) { return item }
            }
            guard var piece = try await self.readPiece() else {
                guard self.fields.isEmpty, self.lines.readableBytes == 0 else {
                    throw Violation(description: "the body ends inside an event")
                }
                return nil
            }
            self.lines.writeBuffer(&piece)
        }
    }

    /// The next event, comments skipped.
    package func readEvent() async throws -> Event? {
        while let item = try await self.readItem() {
            if case .event(let event) = item { return event }
        }
        return nil
    }

    /// All events up to the end of the body.
    package func readEvents() async throws -> [Event] {
        var events: [Event] = []
        while let event = try await self.readEvent() { events.append(event) }
        return events
    }

    private func fill() async throws -> Bool {
        guard var piece = try await self.read() else { return false }
        self.buffer.writeBuffer(&piece)
        return true
    }

    private func require(_ count: Int) async throws {
        while self.buffer.readableBytes < count {
            guard try await self.fill() else { throw Violation(description: "closed inside the body") }
        }
    }

    private func readChunk() async throws -> ByteBuffer? {
        let line = try await self.readFramingLine()
        guard let size = Int(line.prefix { $0 != ";" }, radix: 16), size >= 0 else {
            throw Violation(description: "\(line) is no chunk size")
        }
        if size == 0 {
            while !(try await self.readFramingLine().isEmpty) {}
            self.framing = .none
            return nil
        }
        try await self.require(size + 2)
        let chunk = self.buffer.readSlice(length: size)
        guard self.buffer.readString(length: 2) == "\r\n" else {
            throw Violation(description: "no CRLF behind a chunk")
        }
        return chunk
    }

    private func readFramingLine() async throws -> String {
        while true {
            if let count = Self.bytesBeforeFeed(self.buffer) {
                let text = self.buffer.readString(length: count + 1) ?? ""
                guard text.hasSuffix("\r\n") else { throw Violation(description: "a framing line without CRLF") }
                return String(text.dropLast())
            }
            guard try await self.fill() else { throw Violation(description: "closed inside chunked framing") }
        }
    }

    private var rest: String { String(buffer: self.buffer) }
}

// MARK: - Parsing

extension StreamingClient {
    private static func parse(_ text: String) throws -> Head {
        let lines = text.split(separator: "\r\n", omittingEmptySubsequences: true)
        let start = lines[0].split(separator: " ", maxSplits: 2)
        guard start.count >= 2, start[0].hasPrefix("HTTP/1."), let status = Int(start[1]) else {
            throw Violation(description: "not HTTP: \(lines[0])")
        }
        let fields = try lines.dropFirst().map { line in
            guard let colon = line.firstIndex(of: ":") else { throw Violation(description: "not a field: \(line)") }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            return (line[..<colon].lowercased(), String(value))
        }
        return Head(version: String(start[0]), status: status, fields: fields)
    }

    private static func framing(_ head: Head) throws -> Framing {
        if head.status < 200 || head.status == 204 || head.status == 304 { return .none }
        let length = head["content-length"]
        if let coding = head["transfer-encoding"] {
            guard coding == "chunked", length == nil, head.version == "HTTP/1.1" else {
                throw Violation(description: "framing is \(coding), length \(length ?? "none"), \(head.version)")
            }
            return .chunked
        }
        guard let length else { return .untilClose }
        guard let count = Int(length), count >= 0 else { throw Violation(description: "length is \(length)") }
        return .length(count)
    }

    /// Pictures are megabytes in one line, so the search must not be done byte by byte in a debug build.
    private static func bytesBeforeFeed(_ buffer: ByteBuffer) -> Int? {
        buffer.withUnsafeReadableBytes { bytes in
            guard let start = bytes.baseAddress, let found = memchr(start, 0x0A, bytes.count) else { return nil }
            return UnsafeRawPointer(found) - start
        }
    }

    private func takeLine() -> String? {
        guard let count = Self.bytesBeforeFeed(self.lines) else { return nil }
        let line = self.lines.readString(length: count) ?? ""
        self.lines.moveReaderIndex(forwardBy: 1)
        return line.utf8.last == 0x0D ? String(line.dropLast()) : line
    }

    private func take(_ line: String) throws -> Item? {
        if line.isEmpty {
            defer { self.fields = Fields() }
            guard !self.fields.data.isEmpty else { return nil }
            return .event(
                Event(
                    name: self.fields.name, id: self.fields.id, retry: self.fields.retry,
                    data: self.fields.data.joined(separator: "\n")))
        }
        guard let colon = line.firstIndex(of: ":") else { throw Violation(description: "\(line) is no field") }
        let value = line[line.index(after: colon)...]
        let text = String(value.first == " " ? value.dropFirst() : value)
        switch line[..<colon] {
        case "": return .comment(text)
        case "event": self.fields.name = text
        case "id": self.fields.id = text
        case "retry": self.fields.retry = text
        case "data": self.fields.data.append(text)
        default: throw Violation(description: "\(line.prefix(80)) is no field of an event")
        }
        return nil
    }
}

/// Reads when asked and remembers how the connection ended.
private final class Inbox: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let eventLoop: any EventLoop
    private var context: ChannelHandlerContext?
    private var pieces = CircularBuffer<ByteBuffer>()
    private var waiting: EventLoopPromise<ByteBuffer?>?
    private var ending: Result<ByteBuffer?, any Error>?

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.end(.success(nil))
        self.context = nil
    }

    func next() -> EventLoopFuture<ByteBuffer?> {
        let promise = self.eventLoop.makePromise(of: ByteBuffer?.self)
        if let piece = self.pieces.popFirst() {
            promise.succeed(piece)
        } else if let ending = self.ending {
            promise.completeWith(ending)
        } else {
            self.waiting = promise
            self.context?.read()
        }
        return promise.futureResult
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let piece = self.unwrapInboundIn(data)
        if let waiting = self.waiting.take() {
            waiting.succeed(piece)
        } else {
            self.pieces.append(piece)
        }
    }

    func channelInactive(context: ChannelHandlerContext) { self.end(.success(nil)) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.end(.failure(error))
        context.close(promise: nil)
    }

    private func end(_ result: Result<ByteBuffer?, any Error>) {
        if self.ending == nil { self.ending = result }
        self.waiting.take()?.completeWith(result)
    }
}
