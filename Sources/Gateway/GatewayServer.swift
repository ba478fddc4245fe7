import Admission
import HTTPTypes
import HummingbirdCore
package import ImageGeneration
package import Logging
package import NIOCore
import NIOPosix
package import ServiceLifecycle
import Storage
package import Transport

/// The running gateway: everything made from a route table, and the services that keep it going.
package struct GatewayServer: Sendable {
    package struct Options: Sendable {
        /// As given on the command line; reloads read it again.
        package var configurationPath: String
        package var table: RouteTable
        /// Overrides `server.listen` and `admin.listen`.
        package var listen: ListenAddress?
        package var adminListen: ListenAddress?
        /// Root URL of the embedded simulator, where it runs.
        package var simulator: String?
        /// Where the gateway keeps what it makes itself.
        package var stateFolder: String
        /// As `storage.jobs` asks for it; nil where jobs live as long as the process.
        package var jobStore: JobStorage?
        package var limits: ConnectionLimits
        package var transport: any UpstreamTransport
        package var transportStatistics: @Sendable () -> TransportStatistics
        package var eventLoopGroup: any EventLoopGroup
        package var now: @Sendable () -> Timestamp
        /// Nanoseconds of a clock that nobody sets.
        package var steady: @Sendable () -> Int64
        package var clock: any Clock<Duration>
        /// Called once the public listener is bound.
        package var onListening: @Sendable (_ port: Int, _ adminPort: Int) async -> Void

        package init(
            configurationPath: String, table: RouteTable, listen: ListenAddress? = nil,
            adminListen: ListenAddress? = nil, simulator: String? = nil, stateFolder: String,
            jobStore: JobStorage? = nil, limits: ConnectionLimits = .init(), transport: any UpstreamTransport,
            transportStatistics: @escaping @Sendable () -> TransportStatistics, eventLoopGroup: any EventLoopGroup,
            now: @escaping @Sendable () -> Timestamp,
            steady: @escaping @Sendable () -> Int64 = { Int64(clamping: NIODeadline.now().uptimeNanoseconds) },
            clock: any Clock<Duration> = ContinuousClock(),
            onListening: @escaping @Sendable (_ port: Int, _ adminPort: Int) async -> Void = { _, _ in }
        ) {
            self.configurationPath = configurationPath
            self.table = table
            self.listen = listen
            self.adminListen = adminListen
            self.simulator = simulator
            self.stateFolder = stateFolder
            self.jobStore = jobStore
            self.limits = limits
            self.transport = transport
            self.transportStatistics = transportStatistics
            self.eventLoopGroup = eventLoopGroup
            self.now = now
            self.steady = steady
            self.clock = clock
            self.onListening = onListening
        }
    }

    package let services: [any Service]
    private let recovery: JobRecovery?
    private let tokens: TokenDirectory

    /// - Throws: what an operator must mend, each with a text of one line.
    package init(_ options: Options, logger: Logger) throws {
        let listen = options.listen ?? options.table.server.listen
        let adminListen = options.adminListen ?? options.table.admin.listen
        let tables = TableHolder(
            try LiveTable(
                options.table, publicURL: options.table.server.publicURL(listening: listen),
                simulator: options.simulator))
        let core = try GatewayCore(options, tables: tables, logger: logger)
        let bound = BoundPorts(options: options, tables: tables)
        let main = core.mainChannel.server(
            configuration: ServerConfiguration(
                address: .hostname(listen.host, port: listen.port), serverName: nil, backlog: 4096),
            onServerRunning: { await bound.bound(main: $0.localAddress?.port ?? listen.port) },
            eventLoopGroup: options.eventLoopGroup, logger: core.serverLogger)
        let admin = core.adminChannel.server(
            configuration: ServerConfiguration(
                address: .hostname(adminListen.host, port: adminListen.port), serverName: nil),
            onServerRunning: { await bound.bound(admin: $0.localAddress?.port ?? adminListen.port) },
            eventLoopGroup: options.eventLoopGroup, logger: core.serverLogger)
        let reload = ReloadService(
            path: options.configurationPath, running: options.table, tables: tables, options: options,
            ledger: core.ledger,
            logger: logger)
        let drain = DrainService(
            supervisor: core.supervisor, deliveries: core.deliveries, grace: { tables.current.table.server.drain },
            clock: options.clock, logger: logger)
        // Shut down from last to first: draining comes before the listeners close, storing outlasts the jobs.
        var services: [any Service] = []
        if let jobs = options.jobStore {
            services.append(jobs.service)
            services += jobs.sweepers(
                options.table.storage.jobs?.retention ?? .seconds(86_400), images: core.images, clock: options.clock,
                now: options.now)
        }
        if let images = core.images {
            services.append(images.monitor(clock: options.clock, logger: logger))
            services.append(images.keeper)
        }
        if let sender = core.webhooks { services.append(sender) }
        services += [core.credentials.directory, core.credentials.issuers]
        services.append(MemoryTrimmer(budget: core.budget, clock: options.clock))
        services += [
            ListenerService(admin, at: adminListen, of: options.adminListen == nil ? "admin.listen" : "--admin"),
            ListenerService(main, at: listen, of: options.listen == nil ? "server.listen" : "--listen"),
        ]
        self.services = services + [reload, drain]
        self.tokens = core.credentials.directory
        self.recovery = options.jobStore.map { jobs in
            JobRecovery(
                store: jobs.store, supervisor: core.supervisor, live: tables.current, limits: core.limits,
                tokens: core.credentials.directory, now: options.now, logger: logger)
        }
    }

    /// Goes on with what an earlier process left. To be awaited before the services run, so that nobody meets a job halfway.
    /// - Throws: `GatewayError` `storage_unavailable`.
    package func recover() async throws {
        try await self.tokens.refresh()
        try await self.recovery?.run()
    }
}

/// The parts of a gateway that share state.
private struct GatewayCore {
    let ledger: ConnectionLedger
    let supervisor: JobSupervisor
    let deliveries = DeliveryRegistry()
    let images: ImageStorage?
    let budget: PayloadBudget
    /// Nil where nothing is stored that could be owed.
    let webhooks: WebhookSender?
    let limits: LimitGate
    let credentials: Credentials
    let mainChannel: GatewayChannel
    let adminChannel: GatewayChannel
    let serverLogger: Logger

    init(_ options: GatewayServer.Options, tables: TableHolder, logger: Logger) throws {
        let table = options.table
        let ledger = ConnectionLedger(
            total: table.server.maximumConnections, perAddress: table.server.maximumConnectionsPerIP)
        self.ledger = ledger
        let images = try ImageStorage(options, tables: tables, logger: logger)
        self.images = images
        let budget = PayloadBudget(limit: table.storage.memoryBytes)
        self.budget = budget
        let owed = WebhookSignal()
        let spill = try SpillFolder(
            folder: "\(options.stateFolder)/spill", limit: Self.spillFactor * table.storage.memoryBytes,
            threads: NIOThreadPool.singleton, budget: budget)
        let supervisor = JobSupervisor(
            transport: options.transport, budget: budget, keeper: images?.keeper, store: options.jobStore?.store,
            spill: spill, epoch: try Self.epoch(options),
            eventLoopGroup: options.eventLoopGroup, now: options.now, logger: logger,
            onNotification: { owed.signal() })
        self.supervisor = supervisor
        self.webhooks = options.jobStore.map { jobs in
            WebhookSender(options, outbox: jobs.outbox, signal: owed, supervisor: supervisor, tables: tables, logger)
        }
        let counts = MemoryLimitLedger()
        let (now, steady) = (options.now, options.steady)
        let limits = LimitGate(
            ledger: counts, now: { AdmissionTime(steady: steady(), wall: now()) }, logger: logger)
        self.limits = limits
        let streams = JobStreams(supervisor: supervisor, deliveries: self.deliveries, now: options.now)
        let credentials = try Credentials(options, tables: tables, epoch: supervisor.epoch, logger: logger)
        self.credentials = credentials
        let admission = JobAdmission(
            supervisor: supervisor, keys: IdempotencyTable(), uses: credentials.uses, now: options.now, logger: logger)
        let responder = GatewayResponder(
            tables: tables,
            jobs: JobHandler(admission: admission, streams: streams, limits: limits, logger: logger),
            ownJobs: JobEndpoint(streams: streams, uses: credentials.uses), images: images?.endpoint,
            authenticator: credentials.authenticator,
            tickets: TicketEndpoint(keys: credentials.keys, supervisor: supervisor, now: options.now),
            showsPlayground: { tables.current.table.server.playground })
        self.mainChannel = GatewayChannel(
            limits: { Self.limits(options.limits, tables.current.table) }, ledger: ledger,
            identity: Self.identity(table, tables)
        ) { request, writer, channel, connection in
            try await responder.respond(request, writer: writer, channel: channel, connection: connection)
        }
        let deliveries = self.deliveries
        let admin = AdminResponder(
            gauges: {
                GatewayGauges(
                    jobs: supervisor.runningCount, streams: deliveries.count,
                    upstreamCalls: options.transportStatistics().openCalls, connections: ledger.openCount,
                    payloadBytes: budget.heldBytes, finishedJobs: supervisor.directory.finishedCount,
                    finishedPayloadBytes: supervisor.directory.heldBytes, limits: limits.ledger.gauge,
                    memory: MemoryGauge(budget, spilledBytes: spill.usedBytes), images: images?.store.gauge)
            },
            readiness: {
                if supervisor.isDraining { return .draining }
                if options.jobStore?.isWritable() == false { return .storageRefusesWrites }
                return images?.store.gauge.isWritable == false ? .storageRefusesWrites : .ready
            }, upstreams: { tables.current.reports }, access: { AdminAccess(tables.current.table.admin) },
            jobs: { scope in
                try await JobPage(scope).read(supervisor, scope: .everyone).response(supervisor, tables.current)
            },
            webhooks: options.jobStore.map { jobs in
                WebhookReport(outbox: jobs.outbox, targets: { tables.current.table.webhooks })
            })
        self.adminChannel = GatewayChannel(limits: { ConnectionLimits() }, ledger: ConnectionLedger()) {
            request, writer, _, connection in
            try await admin.respond(request, writer: writer, connection: connection)
        }
        var serverLogger = logger
        serverLogger.logLevel = max(logger.logLevel, .warning)
        self.serverLogger = serverLogger
    }

    /// The disk may take so much more than the memory.
    private static let spillFactor = 4

    private static func limits(_ base: ConnectionLimits, _ table: RouteTable) -> ConnectionLimits {
        var limits = base
        limits.uriBytes = table.server.maximumURIBytes
        limits.writeStall = TimeAmount(table.server.writeStall)
        return limits
    }

    /// Certificates reload; whether there is TLS at all is settled at the start.
    private static func identity(_ table: RouteTable, _ tables: TableHolder) -> (@Sendable () -> TLSIdentity)? {
        guard let atStart = table.server.tls else { return nil }
        return { tables.current.table.server.tls ?? atStart }
    }

    private static func epoch(_ options: GatewayServer.Options) throws -> UInt32 {
        if let store = options.jobStore?.store { return store.epoch }
        try StateFolder.make(options.stateFolder)
        return try StartCounter.next(at: "\(options.stateFolder)/epoch")
    }
}

/// Learns the ports of both listeners; absolute URLs name the one that is really listened on.
private actor BoundPorts {
    private let options: GatewayServer.Options
    private let tables: TableHolder
    private var main: Int?
    private var admin: Int?

    init(options: GatewayServer.Options, tables: TableHolder) {
        self.options = options
        self.tables = tables
    }

    func bound(main port: Int) async {
        self.main = port
        let listen = self.options.listen ?? self.options.table.server.listen
        let address = ListenAddress(host: listen.host, port: port)
        self.tables.listens(at: address)
        await self.tell()
    }

    func bound(admin port: Int) async {
        self.admin = port
        await self.tell()
    }

    private func tell() async {
        if let main = self.main, let admin = self.admin { await self.options.onListening(main, admin) }
    }
}

extension TimeAmount {
    init(_ duration: Duration) {
        self = .nanoseconds(
            duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000)
    }
}

extension Duration {
    var milliseconds: Int64 { self.components.seconds * 1000 + self.components.attoseconds / 1_000_000_000_000_000 }
}
