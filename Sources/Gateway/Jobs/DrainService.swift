import ImageGeneration
import Logging
import ServiceLifecycle

/// The first to hear of a shutdown: refuses new jobs while the listeners stay open, lets streams end by themselves, then ends the rest.
struct DrainService: Service {
    private let supervisor: JobSupervisor
    private let deliveries: DeliveryRegistry
    private let grace: @Sendable () -> Duration
    private let clock: any Clock<Duration>
    private let logger: Logger

    private static let interval = Duration.milliseconds(100)

    init(
        supervisor: JobSupervisor, deliveries: DeliveryRegistry, grace: @escaping @Sendable () -> Duration,
        clock: any Clock<Duration>, logger: Logger
    ) {
        self.supervisor = supervisor
        self.deliveries = deliveries
        self.grace = grace
        self.clock = clock
        self.logger = logger
    }

    func run() async throws {
        try? await gracefulShutdown()
        self.supervisor.drain()
        let grace = self.grace()
        self.logger.info(
            "draining", metadata: ["streams": "\(self.deliveries.count)", "grace": "\(grace.components.seconds)s"])
        await self.wait(atMost: grace)
        if self.deliveries.count > 0 {
            self.logger.warning("drain time is over", metadata: ["streams": "\(self.deliveries.count)"])
            self.deliveries.interruptAll(
                GatewayError(.draining, "The gateway is shutting down.", billed: .maybe, retryAfterMilliseconds: 5000))
        }
        self.supervisor.endAll()
        await self.wait(atMost: .seconds(1))
        // Who waits for a job that is left to the next start would wait for ever.
        self.deliveries.cutAll()
    }

    /// Until no response is under way.
    private func wait(atMost limit: Duration) async {
        var waited = Duration.zero
        while self.deliveries.count > 0, waited < limit {
            try? await self.clock.sleep(for: Self.interval)
            waited += Self.interval
        }
    }
}
