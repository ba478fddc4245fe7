import NIOCore
import NIOHTTP2

/// Ends an HTTP/2 connection in time: when it has carried nothing for the keep-alive limit, and at drain once its streams are over.
///
/// `GOAWAY` names the last stream that is served, so a request that crosses it on the way may be sent again by its client. It waits for
/// the streams that run, though RFC 9113 lets them go on behind it: Python's h2, and so httpx, takes nothing more once it has come.
final class HTTP2ConnectionHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTP2Frame
    typealias OutboundOut = HTTP2Frame

    private let limits: ConnectionLimits
    private var openStreams = 0
    private var lastStream = HTTP2StreamID.rootStream
    private var isEnding = false
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?

    init(limits: ConnectionLimits) { self.limits = limits }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.wait(self.limits.keepAlive) { $0.end() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.context = nil
    }

    func streamOpened(_ id: HTTP2StreamID) {
        self.openStreams += 1
        self.lastStream = max(self.lastStream, id)
        if !self.isEnding { self.timer?.cancel() }
    }

    func streamClosed() {
        self.openStreams -= 1
        guard self.openStreams == 0 else { return }
        if self.isEnding { self.goAway() } else { self.wait(self.limits.keepAlive) { $0.end() } }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { self.end() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What is wrong with one stream has ended that stream; what reaches this place is of the connection.
        guard !(error is NIOHTTP2Errors.StreamError) else { return }
        context.close(promise: nil)
    }

    /// Closes behind the streams that run. Until then others may come: at drain they are told so.
    private func end() {
        guard !self.isEnding else { return }
        self.isEnding = true
        if self.openStreams == 0 { self.goAway() }
    }

    private func goAway() {
        guard let context = self.context else { return }
        let goAway = HTTP2Frame.FramePayload.goAway(
            lastStreamID: self.lastStream, errorCode: .noError, opaqueData: nil)
        context.writeAndFlush(self.wrapOutboundOut(HTTP2Frame(streamID: .rootStream, payload: goAway)), promise: nil)
        self.wait(self.limits.lingering) { $0.context?.close(promise: nil) }
    }

    private func wait(_ time: TimeAmount, _ work: @escaping (HTTP2ConnectionHandler) -> Void) {
        self.timer?.cancel()
        guard let loop = self.context?.eventLoop else { return }
        self.timer = loop.assumeIsolated().scheduleTask(in: time) { [weak self] in
            if let self { work(self) }
        }
    }
}
