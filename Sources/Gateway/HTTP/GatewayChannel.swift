package import HummingbirdCore
package import Logging
package import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// Builds the pipeline of a client connection and runs its requests on the connection's own event loop, so that between the
/// socket and the job there is no change of thread.
package struct GatewayChannel: ServerChildChannel {
    package struct Value: ServerChildChannelValue {
        let parts: NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>
        let connection: ClientConnection

        package var channel: any Channel { self.parts.channel }
    }

    package typealias Respond =
        @Sendable (Request, consuming ResponseWriter, any Channel, ClientConnection) async throws -> Void

    private let limits: @Sendable () -> ConnectionLimits
    private let ledger: ConnectionLedger
    private let respond: Respond
    private let wheels = TimerWheels()

    /// - Parameter limits: asked at each new connection, so that a reload reaches them.
    package init(
        limits: @escaping @Sendable () -> ConnectionLimits, ledger: ConnectionLedger, respond: @escaping Respond
    ) {
        self.limits = limits
        self.ledger = ledger
        self.respond = respond
    }

    package func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let connection = ClientConnection(
                eventLoop: channel.eventLoop, remoteAddress: channel.remoteAddress?.ipAddress)
            connection.share(self.wheels.wheel(of: channel.eventLoop))
            let handler = ConnectionHandler(connection: connection, limits: self.limits(), ledger: self.ledger)
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(FirstByteObserver(handler))
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
                withEncoderConfiguration: .init(), withDecoderLimitConfiguration: Self.decoderLimits)
            try pipeline.addHandler(handler)
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            let parts = try NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>(
                wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
            return Value(parts: parts, connection: connection)
        }
    }

    package func handle(value: Value, logger: Logger) async {
        let connection = value.connection
        let respond = self.respond
        let handler = RequestLoop { request, writer, channel in
            try await respond(request, writer, channel, connection)
        }
        await withTaskExecutorPreference(EventLoopTaskExecutor(value.channel.eventLoop)) {
            await handler.handleHTTP(asyncChannel: value.parts, logger: logger)
        }
    }

    /// 32 KiB and 100 fields, as nginx takes by default (4 × 8 KiB) and Envoy (100).
    private static var decoderLimits: NIOHTTPDecoderLimitConfiguration {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 16 << 10
        limits.maxHeaderListSize = 32 << 10
        limits.maxHeaderFieldCount = 100
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
