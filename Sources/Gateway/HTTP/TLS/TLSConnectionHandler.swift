import NIOCore
import NIOTLS

/// Stands behind the TLS handler of a client connection: counts the connection from its first byte on, and ends one whose handshake
/// does not end in time. Before the handshake nobody can be answered, so whoever is one too many is just closed.
final class TLSConnectionHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let ledger: ConnectionLedger
    private let limits: ConnectionLimits
    private let address: String?
    private var handshakeDeadline: Scheduled<Void>?
    private var isSecured = false

    init(ledger: ConnectionLedger, limits: ConnectionLimits, address: String?) {
        self.ledger = ledger
        self.limits = limits
        self.address = address
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let admitted = self.ledger.open(self.address)
        let channel = context.channel
        let limit = admitted ? self.limits.headDeadline : .nanoseconds(0)
        self.handshakeDeadline = context.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.handshakeDeadline?.cancel()
        self.ledger.close(self.address)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.handshakeCompleted) = event as? TLSUserEvent {
            self.isSecured = true
            self.handshakeDeadline?.cancel()
        } else if event is ChannelShouldQuiesceEvent, !self.isSecured {
            return context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard self.isSecured else { return context.close(promise: nil) }
        context.fireErrorCaught(error)
    }
}
