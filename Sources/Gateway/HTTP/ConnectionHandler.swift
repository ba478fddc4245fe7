import HTTPTypes
import ImageGeneration
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Stands between the HTTP/1 codec and the request handling of one client connection: knows the version, answers what is
/// wrong with the connection itself (408, 414, 431, 400, 503), holds its deadlines, and turns every way a client can go
/// into ``ClientConnection/isGone``.
///
/// A half-closed client counts as gone, as in nginx. Pipelined requests wait here until their turn, so that reading goes on
/// during a response and a client that leaves is noticed at once.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let connection: ClientConnection
    private let limits: ConnectionLimits
    /// Nil where the connection is counted already.
    private let ledger: ConnectionLedger?
    private var phase = ConnectionPhase()
    private var pipelined = CircularBuffer<HTTPServerRequestPart>()
    private var deadline: NIODeadline?
    private var timer: Scheduled<Void>?
    /// When ``timer`` fires.
    private var timerAt: NIODeadline?
    private var stallCheck: Scheduled<Void>?
    /// Body bytes given to the channel since it was made.
    private var givenBytes = 0
    /// Bytes that wait less ``givenBytes`` at the last look: falls by what the peer takes, whatever is written meanwhile.
    private var untakenBytes = 0
    private var isClosing = false
    private var isDraining = false
    private var admitted = false
    /// The client itself asked for no further request.
    private var closeRequested = false
    private var framing = BodyFraming()
    private var bodyStart = NIODeadline.uptimeNanoseconds(0)
    /// Set while the handler is in the pipeline; timers and the observer before the decoder act through it.
    private var context: ChannelHandlerContext?
    /// The observer's place, before the codec: what is written there goes to the socket as it is.
    fileprivate var socketSide: ChannelHandlerContext?

    /// Request parts kept of clients that send further requests before the response; beyond it reading pauses.
    private static let maximumPipelined = 1024
    /// Of body bytes among them.
    private static let maximumPipelinedBytes = 64 << 10
    private var pipelinedBytes = 0

    private var isPipelineFull: Bool {
        self.pipelined.count >= Self.maximumPipelined || self.pipelinedBytes >= Self.maximumPipelinedBytes
    }

    init(connection: ClientConnection, limits: ConnectionLimits, ledger: ConnectionLedger?) {
        self.connection = connection
        self.limits = limits
        self.ledger = ledger
    }

    // MARK: Life of the connection

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.connection.offerDirectBody(self)
        self.admitted = self.ledger?.open(self.connection.remoteAddress) ?? true
        if context.channel.isActive { self.begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.stallCheck?.cancel()
        self.context = nil
        self.connection.offerDirectBody(nil)
        self.ledger?.close(self.connection.remoteAddress)
        self.connection.markGone()
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        self.begin(context)
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard self.admitted else {
            self.refuse(GatewayError(.overloaded, "Too many connections.", retryAfterMilliseconds: 1000), context)
            return
        }
        self.renewDeadline(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.connection.markGone()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            self.isDraining = true
            if !self.phase.isResponding { context.close(promise: nil) }
        } else if case .some(.inputClosed) = event as? ChannelEvent {
            self.inputClosed(context)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Whoever half-closes before the response is whole will not read it to the end; whoever does between requests is done.
    private func inputClosed(_ context: ChannelHandlerContext) {
        self.connection.markGone()
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let failure = Self.requestFailure(error), self.phase.canBeRefused, !self.isClosing else {
            self.connection.markGone()
            context.close(promise: nil)
            return
        }
        self.refuse(failure, context)
    }

    private static func requestFailure(_ error: any Error) -> GatewayError? {
        guard let error = error as? HTTPParserError else {
            let isOfTransport = error is IOError || error is NIOSSLError || error is BoringSSLError
            return isOfTransport ? nil : GatewayError(.invalidParameter, "The request is not valid HTTP.")
        }
        return error == .headerOverflow
            ? GatewayError(.headersTooLarge, "The request's header fields are too large.")
            : GatewayError(.invalidParameter, "The request is not valid HTTP/1.1.")
    }

    // MARK: Requests

    /// From the observer before the decoder: bytes came, which may begin a request.
    func receivedBytes(_ count: Int) {
        guard let context = self.context else { return }
        if self.phase.receivedBytes() {
            self.framing = BodyFraming()
            self.renewDeadline(context)
        } else if self.isOverframed {
            self.refuse(.overframed, context)
        }
        self.framing.receivedBytes += count
    }

    /// All that came is decoded when this is asked.
    private var isOverframed: Bool {
        guard case .body(let received) = self.phase.reading, !self.isClosing, self.phase.canBeRefused else {
            return false
        }
        return self.framing.isTooMuch(body: received)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isClosing else { return }
        let part = self.unwrapInboundIn(data)
        if self.phase.isResponding, self.phase.reading == .whole || !self.pipelined.isEmpty {
            self.pipelined.append(part)
            self.pipelinedBytes += part.bodyBytes
            return
        }
        self.handOn(part, context)
    }

    func read(context: ChannelHandlerContext) {
        if !self.isPipelineFull { context.read() }
    }

    private func handOn(_ part: HTTPServerRequestPart, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head):
            self.phase.receivedHead()
            if head.uri.utf8.count > self.limits.uriBytes {
                self.refuse(GatewayError(.uriTooLong, "The request target is too long."), context)
                return
            }
            // RFC 9112, 3.2: who else is meant would be up to whoever reads it first.
            if head.version == .http1_1, head.headers["host"].count != 1 {
                self.refuse(GatewayError(.invalidParameter, "The request must have one Host field."), context)
                return
            }
            self.connection.isHTTP10 = head.version == .http1_0
            self.closeRequested = !head.isKeepAlive
            self.framing.read(head)
            self.phase.handedOn()
        case .body(let buffer):
            self.phase.receivedBody(buffer.readableBytes)
        case .end:
            guard !self.isOverframed else { return self.refuse(.overframed, context) }
            self.phase.receivedEnd()
        }
        self.renewDeadline(context)
        context.fireChannelRead(self.wrapInboundOut(part))
    }

    /// The response before is written: hands on the next request as far as it is there.
    private func handOnPipelined(_ context: ChannelHandlerContext) {
        guard !self.pipelined.isEmpty else { return }
        let wasFull = self.isPipelineFull
        while !self.phase.isResponding || self.phase.reading != .whole, let part = self.pipelined.popFirst() {
            self.pipelinedBytes -= part.bodyBytes
            _ = self.phase.receivedBytes()
            self.handOn(part, context)
            if self.isClosing {
                self.pipelined.removeAll()
                self.pipelinedBytes = 0
            }
        }
        context.fireChannelReadComplete()
        if wasFull { context.read() }
    }

    // MARK: Responses

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.isClosing else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch self.unwrapOutboundIn(data) {
        case .head(var head):
            self.phase.wroteHead()
            self.frame(&head)
            context.write(self.wrapOutboundOut(.head(head)), promise: promise)
        case .body(let body):
            self.givenBytes += body.readableBytes
            context.write(self.wrapOutboundOut(.body(body)), promise: promise)
        case .end(let trailers):
            context.write(self.wrapOutboundOut(.end(trailers)), promise: promise)
            context.flush()
            self.finishResponse(context)
        }
    }

    /// The head of a response whose body follows by ``writeBody(_:promise:)``, and whose end by ``writeEnd()``. All three pass by the
    /// HTTP encoder, which would cut each piece of a body into three writes and never hears of the response.
    func writeHead(_ head: HTTPResponse) {
        guard !self.isClosing, let socketSide = self.socketSide else { return }
        self.phase.wroteHead()
        let bytes = ResponseHeadWriter.bytes(
            head, isHTTP10: self.connection.isHTTP10, closes: self.closesAfterResponse,
            allocator: socketSide.channel.allocator)
        socketSide.write(NIOAny(IOData.byteBuffer(bytes)), promise: nil)
    }

    /// Asks a client for the body that it holds back until it hears (`Expect: 100-continue`).
    func writeContinue() {
        guard !self.isClosing, !self.connection.isHTTP10, self.phase.awaitsBody, let socketSide = self.socketSide
        else { return }
        let bytes = ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n")
        socketSide.writeAndFlush(NIOAny(IOData.byteBuffer(bytes)), promise: nil)
    }

    func writeEnd() {
        guard !self.isClosing, let socketSide = self.socketSide, let context = self.context else { return }
        if !self.connection.isHTTP10 {
            socketSide.write(NIOAny(IOData.byteBuffer(ByteBuffer(staticString: "0\r\n\r\n"))), promise: nil)
        }
        socketSide.flush()
        self.finishResponse(context)
    }

    /// Body bytes in their transfer framing.
    func writeBody(_ bytes: ByteBuffer, promise: EventLoopPromise<Void>?) {
        guard !self.isClosing, let socketSide = self.socketSide else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        self.givenBytes += bytes.readableBytes
        socketSide.write(NIOAny(IOData.byteBuffer(bytes)), promise: promise)
    }

    func flushBody() { self.socketSide?.flush() }

    /// To HTTP/1.0, nginx's default to upstreams, the body ends with the connection.
    private func frame(_ head: inout HTTPResponseHead) {
        guard head.status.code >= 200 else { return }
        if self.connection.isHTTP10 { head.version = .http1_0 }
        if self.closesAfterResponse {
            head.headers.replaceOrAdd(name: "connection", value: "close")
        }
    }

    private var closesAfterResponse: Bool {
        self.isDraining || self.closeRequested || self.connection.isHTTP10 || self.connection.closesAfterResponse
    }

    private func finishResponse(_ context: ChannelHandlerContext) {
        let whole = self.phase.wroteEnd()
        if !whole || self.closesAfterResponse {
            self.closeGently(context)
            return
        }
        self.renewDeadline(context)
        self.handOnPipelined(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.stallCheck?.cancel()
            self.stallCheck = nil
        } else if self.stallCheck == nil {
            self.untakenBytes = .max
            self.watchStall(context)
        }
        context.fireChannelWritabilityChanged()
    }

    /// While the peer takes too little, looks twice per limit whether it takes anything at all.
    private func watchStall(_ context: ChannelHandlerContext) {
        let waiting = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let half = TimeAmount.nanoseconds(self.limits.writeStall.nanoseconds / 2)
        let untaken = Int(waiting) - self.givenBytes
        if untaken < self.untakenBytes {
            self.untakenBytes = untaken
            self.stallCheck = self.schedule(half, context) { handler, context in handler.watchStall(context) }
            return
        }
        self.connection.markGone()
        context.close(promise: nil)
    }

    func abort() {
        self.connection.markGone()
        self.context?.close(promise: nil)
    }

    // MARK: Deadlines and endings

    private func renewDeadline(_ context: ChannelHandlerContext) {
        let now = context.eventLoop.now
        switch self.phase.deadline {
        case .none: self.deadline = nil
        case .keepAlive: self.setDeadline(now + self.limits.keepAlive, context)
        case .head: self.setDeadline(now + self.limits.headDeadline, context)
        case .body(let received):
            // Measured from here: every piece that comes renews it, but a trickle earns less than it costs.
            if received == 0 { self.bodyStart = now }
            let earned = TimeAmount.milliseconds(Int64(received) * 1000 / Int64(self.limits.bodyBytesPerSecond))
            self.setDeadline(
                min(self.bodyStart + self.limits.bodyDeadline + earned, now + self.limits.bodyDeadline), context)
        }
    }

    /// A request moves its deadline several times, so the timer is set anew only where it would fire too late; one that fires early
    /// looks again.
    private func setDeadline(_ deadline: NIODeadline, _ context: ChannelHandlerContext) {
        self.deadline = deadline
        if let timerAt = self.timerAt, timerAt <= deadline { return }
        self.timer?.cancel()
        self.timerAt = deadline
        self.timer = self.schedule(deadline - context.eventLoop.now, context) { handler, context in
            handler.timerFired(context)
        }
    }

    private func timerFired(_ context: ChannelHandlerContext) {
        self.timer = nil
        self.timerAt = nil
        guard let deadline = self.deadline else { return }
        guard deadline <= context.eventLoop.now else { return self.setDeadline(deadline, context) }
        self.deadline = nil
        if self.isClosing { context.close(promise: nil) } else { self.deadlinePassed(context) }
    }

    private func deadlinePassed(_ context: ChannelHandlerContext) {
        switch self.phase.deadline {
        case .none: break
        case .keepAlive: context.close(promise: nil)
        case .head, .body:
            guard !self.phase.headWritten else {
                self.connection.markGone()
                context.close(promise: nil)
                return
            }
            self.refuse(GatewayError(.requestTimeout, "The request took too long to arrive."), context)
        }
    }

    /// Answers in place of the request handling, which hears that the client is gone, and closes.
    private func refuse(_ error: GatewayError, _ context: ChannelHandlerContext) {
        let (head, body) = PlainErrorResponse.parts(error)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        self.closeGently(context)
        self.connection.markGone()
    }

    /// Sends what is written, says that no more comes, and reads on for a moment: closing with unread bytes would reset the
    /// connection and take the answer from the peer.
    private func closeGently(_ context: ChannelHandlerContext) {
        self.isClosing = true
        self.setDeadline(context.eventLoop.now + self.limits.lingering, context)
        context.close(mode: .output, promise: nil)
    }

    private func schedule(
        _ delay: TimeAmount, _ context: ChannelHandlerContext,
        _ work: @escaping (ConnectionHandler, ChannelHandlerContext) -> Void
    ) -> Scheduled<Void> {
        context.eventLoop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
            guard let self, self.context != nil, context.channel.isActive else { return }
            work(self, context)
        }
    }
}

/// Sees raw bytes before the HTTP decoder, so that the deadline of a request's head runs from its first byte.
final class FirstByteObserver: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private weak var handler: ConnectionHandler?

    init(_ handler: ConnectionHandler) { self.handler = handler }

    func handlerAdded(context: ChannelHandlerContext) { self.handler?.socketSide = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.handler?.socketSide = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.handler?.receivedBytes(self.unwrapInboundIn(data).readableBytes)
        context.fireChannelRead(data)
    }
}

extension HTTPServerRequestPart {
    fileprivate var bodyBytes: Int {
        if case .body(let buffer) = self { buffer.readableBytes } else { 0 }
    }
}
