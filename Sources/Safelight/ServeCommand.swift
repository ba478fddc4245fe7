import ArgumentParser
import Gateway
import Logging
import NIOPosix
import ServiceLifecycle
import Transport
import UnixSignals

struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Run the gateway.")

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: "Listen here instead of at server.listen.")
    var listen: ListenAddress?

    @Option(help: "Listen here for operators instead of at admin.listen.")
    var admin: ListenAddress?

    @Option(help: "Least severe log level that is shown.")
    var logLevel = LogLevel.info

    func run() async throws {
        let table = try self.configuration.load()
        AllocatorTuning.apply()
        let logger = Terminal.startLogging(self.logLevel.level)
        do {
            if table.upstreams.contains(where: { $0.base == .simulator }) {
                try await EmbeddedSimulator.run(logger: logger) { try await self.serve(table, simulator: $0, logger) }
            } else {
                try await self.serve(table, simulator: nil, logger)
            }
        } catch {
            Terminal.complain("safelight: \(Terminal.describe(error))\n")
            throw ExitCode(1)
        }
    }

    private func serve(_ table: RouteTable, simulator: String?, _ logger: Logger) async throws {
        let transport = try CurlTransport()
        try transport.start()
        defer { transport.shutdown() }
        let eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: AvailableProcessors.count)
        let listen = self.listen ?? table.server.listen
        let admin = self.admin ?? table.admin.listen
        let jobStore = try OpenedJobStore.open(table, stateFolder: self.configuration.stateFolder, logger: logger)
        let gateway = try GatewayServer(
            GatewayServer.Options(
                configurationPath: self.configuration.config, table: table, listen: self.listen,
                adminListen: self.admin, simulator: simulator, stateFolder: self.configuration.stateFolder,
                jobStore: jobStore, transport: transport, transportStatistics: { transport.statistics },
                eventLoopGroup: eventLoops, now: Terminal.now,
                onListening: { port, adminPort in
                    Terminal.print(
                        """
                        Safelight listens on \(table.server.tls == nil ? "http" : "https")://\(ListenAddress(host: listen.host, port: port))
                        Operators' listener on http://\(ListenAddress(host: admin.host, port: adminPort))

                        """)
                }), logger: logger)
        try await gateway.recover()
        let group = ServiceGroup(
            configuration: .init(
                services: [ImpatientShutdown()] + gateway.services, gracefulShutdownSignals: [.sigterm, .sigint],
                logger: Self.quiet(logger)))
        try await group.run()
    }

    /// The service group tells of each service it starts; nobody asked.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}
