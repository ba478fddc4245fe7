import ImageGeneration
import NIOCore
import NIOHPACK
import NIOHTTP1
import NIOHTTP2

/// What ``ConnectionHandler`` is to a connection of HTTP/1, for one stream of HTTP/2, between its frames and the request handling:
/// answers what is wrong with the request itself (414, 431, 408), holds its deadlines, and turns a reset into ``ClientConnection/isGone``.
///
/// A client that half-closes has only sent its whole request here, so it does not count as gone.
final class HTTP2StreamHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTP2Frame.FramePayload
    typealias OutboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    private let connection: ClientConnection
    private let limits: ConnectionLimits
    private var headRead = false
    private var requestEnded = false
    private var headWritten = false
    private var responseEnded = false
    private var receivedBytes = 0
    private var bodyStart = NIODeadline.uptimeNanoseconds(0)
    private var bodyDeadline = NIODeadline.uptimeNanoseconds(0)
    private var bodyTimer: Scheduled<Void>?
    /// Body bytes given to the connection and not yet taken by its peer.
    private var untakenBytes = 0
    /// When the peer last took something, or had nothing to take.
    private var takenAt = NIODeadline.uptimeNanoseconds(0)
    private var stallTimer: Scheduled<Void>?
    /// Bytes that waited for the whole connection's peer when that was last looked at.
    private var connectionWaiting: Int?
    private var context: ChannelHandlerContext?

    init(connection: ClientConnection, limits: ConnectionLimits) {
        self.connection = connection
        self.limits = limits
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.connection.isStreamOfAnother = true
        self.connection.offerAbort { [weak self] in
            guard let self, let context = self.context else { return }
            self.reset(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.bodyTimer?.cancel()
        self.stallTimer?.cancel()
        self.connection.offerAbort(nil)
        self.connection.markGone()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.connection.markGone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.connection.markGone()
        context.close(promise: nil)
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.responseEnded else { return }
        switch self.unwrapInboundIn(data) {
        case .headers(let frame):
            self.requestEnded = frame.endStream
            if !self.headRead, let failure = self.failure(of: frame.headers) { return self.refuse(failure, context) }
            self.began(context)
            self.received(0, isLast: frame.endStream, context)
        case .data(let frame):
            self.received(frame.data.readableBytes, isLast: frame.endStream, context)
        case .alternativeService, .rstStream, .priority, .origin, .goAway, .ping, .settings, .pushPromise,
            .windowUpdate:
            break
        }
        context.fireChannelRead(data)
    }

    private func failure(of fields: HPACKHeaders) -> GatewayError? {
        if let target = fields.first(name: ":path"), target.utf8.count > self.limits.uriBytes {
            return GatewayError(.uriTooLong, "The request target is too long.")
        }
        guard fields.count > ConnectionLimits.headerFields + 4 else { return nil }
        return GatewayError(.headersTooLarge, "The request has too many header fields.")
    }

    private func began(_ context: ChannelHandlerContext) {
        guard !self.headRead else { return }
        self.headRead = true
        self.bodyStart = context.eventLoop.now
    }

    private func received(_ count: Int, isLast: Bool, _ context: ChannelHandlerContext) {
        self.receivedBytes += count
        if isLast {
            self.requestEnded = true
            self.bodyTimer?.cancel()
            return
        }
        // As for HTTP/1: every piece renews it, but a trickle earns less than it costs.
        let now = context.eventLoop.now
        let earned = TimeAmount.milliseconds(Int64(self.receivedBytes) * 1000 / Int64(self.limits.bodyBytesPerSecond))
        self.bodyDeadline = min(self.bodyStart + self.limits.bodyDeadline + earned, now + self.limits.bodyDeadline)
        if self.bodyTimer == nil { self.watchBody(context) }
    }

    private func watchBody(_ context: ChannelHandlerContext) {
        let wait = self.bodyDeadline - context.eventLoop.now
        self.bodyTimer = context.eventLoop.assumeIsolated().scheduleTask(in: wait) { [weak self] in
            guard let self, let context = self.context, !self.requestEnded, !self.responseEnded else { return }
            guard self.bodyDeadline <= context.eventLoop.now else { return self.watchBody(context) }
            guard !self.headWritten else { return self.reset(context) }
            self.refuse(GatewayError(.requestTimeout, "The request took too long to arrive."), context)
        }
    }

    // MARK: Responses

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.responseEnded else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        var promise = promise
        switch self.unwrapOutboundIn(data) {
        case .headers(let frame):
            self.headWritten = true
            if frame.endStream { promise = self.last(promise, context) }
        case .data(let frame):
            if frame.endStream { promise = self.last(promise, context) }
            promise = self.watched(frame.data.readableBytes, promise, context)
        case .alternativeService, .rstStream, .priority, .origin, .goAway, .ping, .settings, .pushPromise,
            .windowUpdate:
            break
        }
        context.write(data, promise: promise)
        // Whoever writes the end leaves the rest to us.
        if self.responseEnded { context.flush() }
    }

    /// Of the frame that ends the response. A request of which nobody wants the rest is not waited for; the reset may not overtake
    /// what the client is still to be told.
    private func last(_ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) -> EventLoopPromise<Void>? {
        self.responseEnded = true
        self.bodyTimer?.cancel()
        guard !self.requestEnded else { return promise }
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess { [weak self] in
            guard let self, let context = self.context else { return }
            context.writeAndFlush(self.wrapOutboundOut(.rstStream(.noError)), promise: nil)
        }
        return promise
    }

    /// Answers in place of the request handling, which hears that the client is gone.
    private func refuse(_ error: GatewayError, _ context: ChannelHandlerContext) {
        let (head, body) = PlainErrorResponse.parts(error)
        var fields = HPACKHeaders([(":status", String(head.status.code))])
        for field in head.headers where field.name != "connection" { fields.add(name: field.name, value: field.value) }
        let frames: [HTTP2Frame.FramePayload] = [
            .headers(.init(headers: fields)), .data(.init(data: .byteBuffer(body), endStream: true)),
        ]
        for frame in frames { self.write(context: context, data: self.wrapOutboundOut(frame), promise: nil) }
        self.connection.markGone()
    }

    // MARK: Peers that take nothing

    private func watched(
        _ count: Int, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext
    ) -> EventLoopPromise<Void>? {
        guard count > 0 else { return promise }
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        if self.untakenBytes == 0 { self.takenAt = context.eventLoop.now }
        self.untakenBytes += count
        promise.futureResult.assumeIsolated().whenComplete { [weak self] _ in
            guard let self else { return }
            self.untakenBytes -= count
            if let loop = self.context?.eventLoop { self.takenAt = loop.now }
        }
        if self.stallTimer == nil { self.watchStall(self.limits.writeStall, context) }
        return promise
    }

    private func watchStall(_ wait: TimeAmount, _ context: ChannelHandlerContext) {
        self.stallTimer = context.eventLoop.assumeIsolated().scheduleTask(in: wait) { [weak self] in
            guard let self, let context = self.context else { return }
            self.stallTimer = nil
            guard self.untakenBytes > 0 else { return }
            let rest = self.takenAt + self.limits.writeStall - context.eventLoop.now
            guard rest <= .nanoseconds(0), self.isStalled(context) else {
                return self.watchStall(max(rest, .nanoseconds(self.limits.writeStall.nanoseconds / 2)), context)
            }
            self.reset(context)
        }
    }

    /// Streams share what their connection takes: one of many has to wait for the others. Where the connection itself is what holds it
    /// up, it counts as stalled once that takes nothing at all.
    private func isStalled(_ context: ChannelHandlerContext) -> Bool {
        guard let parent = context.channel.parent, !parent.isWritable else { return true }
        let waiting = Int((try? parent.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0)
        defer { self.connectionWaiting = waiting }
        return waiting == self.connectionWaiting
    }

    /// Where the whole connection takes nothing, a reset would wait behind what it does not take.
    private func reset(_ context: ChannelHandlerContext) {
        self.connection.markGone()
        let parent = context.channel.parent
        context.close(promise: nil)
        if let parent, !parent.isWritable { parent.close(promise: nil) }
    }
}
