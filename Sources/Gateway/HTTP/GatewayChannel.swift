package import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOHTTPTypesHTTP2
import NIOSSL
import NIOTLS

/// Builds the pipeline of a client connection and runs its requests on the connection's own event loop, so that between the
/// socket and the job there is no change of thread. With TLS the client chooses between HTTP/1.1 and HTTP/2 (ALPN).
package struct GatewayChannel: ServerChildChannel {
    package struct Value: ServerChildChannelValue {
        fileprivate let carrier: Carrier
        package let channel: any Channel
    }

    fileprivate enum Carrier {
        case plain(Exchange)
        /// Known once the handshake is over.
        case negotiated(EventLoopFuture<NIONegotiatedHTTPVersion<Exchange, Streams>>)
    }

    /// What carries requests and responses: a connection of HTTP/1, or one stream of HTTP/2.
    fileprivate struct Exchange {
        let parts: NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>
        let connection: ClientConnection
    }

    fileprivate typealias Streams = NIOHTTP2Handler.AsyncStreamMultiplexer<Exchange>

    package typealias Respond =
        @Sendable (Request, consuming ResponseWriter, any Channel, ClientConnection) async throws -> Void

    private let limits: @Sendable () -> ConnectionLimits
    private let ledger: ConnectionLedger
    private let identity: (@Sendable () -> TLSIdentity)?
    private let respond: Respond
    private let wheels = TimerWheels()

    /// - Parameters:
    ///   - limits: asked at each new connection, so that a reload reaches them.
    ///   - identity: asked likewise; nil for a listener without TLS.
    package init(
        limits: @escaping @Sendable () -> ConnectionLimits, ledger: ConnectionLedger,
        identity: (@Sendable () -> TLSIdentity)? = nil, respond: @escaping Respond
    ) {
        self.limits = limits
        self.ledger = ledger
        self.identity = identity
        self.respond = respond
    }

    package func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            guard let identity = self.identity?() else {
                let exchange = try self.http1(channel, ledger: self.ledger, isSecure: false)
                return Value(carrier: .plain(exchange), channel: channel)
            }
            return Value(carrier: .negotiated(try self.secured(channel, identity)), channel: channel)
        }
    }

    package func handle(value: Value, logger: Logger) async {
        await withTaskExecutorPreference(EventLoopTaskExecutor(value.channel.eventLoop)) {
            switch value.carrier {
            case .plain(let exchange): await self.run(exchange, logger)
            case .negotiated(let version):
                switch try? await version.get() {
                case .http1_1(let exchange): await self.run(exchange, logger)
                case .http2(let streams): await self.run(streams, logger)
                // The handshake failed; the connection is closed.
                case nil: break
                }
            }
        }
    }

    private func run(_ exchange: Exchange, _ logger: Logger) async {
        let (connection, respond) = (exchange.connection, self.respond)
        let handler = RequestLoop { request, writer, channel in
            try await respond(request, writer, channel, connection)
        }
        await handler.handleHTTP(asyncChannel: exchange.parts, logger: logger)
    }

    /// Streams that run when their connection fails hear of it themselves, so they are not cancelled.
    private func run(_ streams: Streams, _ logger: Logger) async {
        await withDiscardingTaskGroup { group in
            do {
                for try await exchange in streams.inbound {
                    group.addTask { await self.run(exchange, logger) }
                }
            } catch {
                logger.debug("HTTP/2 connection ended", metadata: ["reason": "\(error)"])
            }
        }
    }

    // MARK: Pipelines

    /// - Parameter ledger: nil where the connection is counted already.
    private func http1(_ channel: any Channel, ledger: ConnectionLedger?, isSecure: Bool) throws -> Exchange {
        let connection = self.connection(of: channel)
        let handler = ConnectionHandler(connection: connection, limits: self.limits(), ledger: ledger)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(FirstByteObserver(handler))
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
            withEncoderConfiguration: .init(), withDecoderLimitConfiguration: Self.decoderLimits)
        try pipeline.addHandler(handler)
        try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: isSecure))
        return try self.exchange(channel, connection)
    }

    private func secured(
        _ channel: any Channel, _ identity: TLSIdentity
    ) throws -> EventLoopFuture<NIONegotiatedHTTPVersion<Exchange, Streams>> {
        let pipeline = channel.pipeline.syncOperations
        let counting = TLSConnectionHandler(
            ledger: self.ledger, limits: self.limits(), address: channel.remoteAddress?.ipAddress)
        let negotiation = NIOTypedApplicationProtocolNegotiationHandler<NIONegotiatedHTTPVersion<Exchange, Streams>> {
            result, channel in
            channel.eventLoop.makeCompletedFuture {
                if case .negotiated("h2") = result { return .http2(try self.http2(channel)) }
                return .http1_1(try self.http1(channel, ledger: nil, isSecure: true))
            }
        }
        try pipeline.addHandler(NIOSSLServerHandler(context: identity.context))
        try pipeline.addHandler(counting)
        try pipeline.addHandler(negotiation)
        return negotiation.protocolNegotiationResult
    }

    private func http2(_ channel: any Channel) throws -> Streams {
        let limits = self.limits()
        let handler = HTTP2ConnectionHandler(limits: limits)
        let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        let pipeline = channel.pipeline.syncOperations
        let streams = try pipeline.configureAsyncHTTP2Pipeline(
            mode: .server, streamDelegate: nil, configuration: HTTP2Bounds.configuration
        ) { stream in
            stream.eventLoop.makeCompletedFuture { try self.stream(stream, limits, of: bound) }
        }
        try pipeline.addHandler(handler)
        return streams
    }

    private func stream(
        _ channel: any Channel, _ limits: ConnectionLimits, of parent: NIOLoopBound<HTTP2ConnectionHandler>
    ) throws -> Exchange {
        let id = try channel.syncOptions?.getOption(HTTP2StreamChannelOptions.streamID)
        parent.value.streamOpened(id ?? .rootStream)
        channel.closeFuture.whenComplete { _ in parent.value.streamClosed() }
        let connection = self.connection(of: channel)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(HTTP2StreamHandler(connection: connection, limits: limits))
        try pipeline.addHandler(HTTP2FramePayloadToHTTPServerCodec())
        return try self.exchange(channel, connection)
    }

    private func connection(of channel: any Channel) -> ClientConnection {
        let connection = ClientConnection(
            eventLoop: channel.eventLoop, remoteAddress: channel.remoteAddress?.ipAddress)
        connection.share(self.wheels.wheel(of: channel.eventLoop))
        return connection
    }

    private func exchange(_ channel: any Channel, _ connection: ClientConnection) throws -> Exchange {
        let parts = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
            wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
        return Exchange(parts: parts, connection: connection)
    }

    /// 32 KiB and 100 fields, as nginx takes by default (4 × 8 KiB) and Envoy (100).
    private static var decoderLimits: NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 16 << 10
        limits.maxHeaderListSize = ConnectionLimits.headerBytes
        limits.maxHeaderFieldCount = ConnectionLimits.headerFields
        return limits
    }
}

/// Lends Hummingbird's request loop to a connection that is set up already.
private struct RequestLoop: HTTPChannelHandler {
    let responder: Responder

    init(responder: @escaping Responder) { self.responder = responder }

    func setup(
        channel: any Channel, logger: Logger
    ) -> EventLoopFuture<NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>> {
        channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
    }

    func handle(value: NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>, logger: Logger) async {
        await self.handleHTTP(asyncChannel: value, logger: logger)
    }
}
