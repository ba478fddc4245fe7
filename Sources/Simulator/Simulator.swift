import HummingbirdCore
package import Logging
package import NIOCore
import NIOPosix
import ServiceLifecycle

/// The upstream side of image providers over real HTTP, with pictures of its own. See `docs/simulator.md`.
///
/// Runs until its task is cancelled or the service group shuts down; open connections are then cut, since a stalled one
/// would hold up the end for ever.
package struct Simulator: Service {
    private let configuration: SimulatorConfiguration
    private let logger: Logger
    private let time: SimulatorTime
    private let eventLoopGroup: any EventLoopGroup
    private let onRunning: @Sendable (SocketAddress) async -> Void

    /// - Parameters:
    ///   - time: clock and calendar; tests pass one that does not wait.
    ///   - onRunning: called once with the bound address, before the first request is served.
    package init(
        configuration: SimulatorConfiguration, logger: Logger, time: SimulatorTime = SimulatorTime(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        onRunning: @escaping @Sendable (SocketAddress) async -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.logger = logger
        self.time = time
        self.eventLoopGroup = eventLoopGroup
        self.onRunning = onRunning
    }

    package func run() async throws {
        let responder = SimulatorResponder(configuration: self.configuration, time: self.time)
        let server = Server(
            childChannelSetup: HTTP1Channel(
                responder: { request, writer, channel in
                    try await responder.respond(to: request, writer: writer, channel: channel)
                }, configuration: .init(additionalChannelHandlers: [ClientPresence()])),
            configuration: .init(address: .hostname(self.configuration.host, port: self.configuration.port)),
            onServerRunning: { [onRunning] channel in
                if let address = channel.localAddress { await onRunning(address) }
            }, eventLoopGroup: self.eventLoopGroup, logger: self.quietLogger)
        try await self.runShielded(server)
    }

    /// Turns cancellation into an orderly shutdown. A server whose accepting task is cancelled drops the connection it has
    /// just accepted, and NIO traps on an outbound writer that was never finished.
    private func runShielded(_ server: Server<HTTP1Channel>) async throws {
        let (stop, stopping) = AsyncStream<Never>.makeStream()
        // Not a child of this task, or it would be cancelled with it. It never outlives this method, which awaits it.
        let running = Task {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await _ in stop {}
                    // Fails only when the server has ended by itself.
                    try? await server.shutdownGracefully()
                }
                defer { stopping.finish() }
                try await server.run()
            }
        }
        try await withTaskCancellationHandler {
            do { try await running.value } catch {
                // A server stopped before it had begun says so by an error.
                if Task.isCancelled { return }
                throw error
            }
        } onCancel: {
            stopping.finish()
        }
    }

    /// The server announces itself at info; who embeds the simulator has its own words for that.
    private var quietLogger: Logger {
        var logger = self.logger
        logger.logLevel = max(logger.logLevel, .notice)
        return logger
    }
}
