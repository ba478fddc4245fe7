import Dialects
package import ImageGeneration
import Logging
import NIOCore
import Providers
import Storage
import Synchronization
import Transport

/// Starts jobs and knows all that run. A job lives in its driver, on a transport thread, whether or not anybody watches it.
package final class JobSupervisor: Sendable {
    private let transport: any UpstreamTransport
    private let budget: PayloadBudget
    private let keeper: ImageKeeper?
    private let epoch: UInt32
    private let eventLoopGroup: any EventLoopGroup
    private let now: @Sendable () -> Timestamp
    private let logger: Logger
    private let medians = ProgressMedians()
    private let draining = Atomic<Bool>(false)
    /// All jobs that are known, running or not.
    package let directory: JobDirectory
    /// Pictures of finished jobs that the directory has let go of.
    package let payloads: KeptPayloads

    /// - Parameter epoch: the start counter of this process.
    init(
        transport: any UpstreamTransport, budget: PayloadBudget, keeper: ImageKeeper?, epoch: UInt32,
        eventLoopGroup: any EventLoopGroup, now: @escaping @Sendable () -> Timestamp, logger: Logger
    ) {
        self.transport = transport
        self.budget = budget
        self.keeper = keeper
        self.epoch = epoch
        self.eventLoopGroup = eventLoopGroup
        self.now = now
        self.logger = logger
        // Half of the memory is for jobs that run, whatever is over.
        let directory = JobDirectory(payloadShare: budget.limit / 8)
        self.directory = directory
        self.payloads = KeptPayloads(
            imageBytes: { id in
                guard let keeper else { return nil }
                return try? await keeper.store.read(id)?.bytes
            }, imageURL: { id in keeper?.url(of: id) }, budget: budget)
        budget.onPressure { [weak directory] bytes in directory?.reclaim(bytes) ?? false }
    }

    /// Jobs whose upstream half is not over.
    package var runningCount: Int { self.directory.runningCount }

    /// A job that runs, or one that is over and still known.
    package func job(_ id: JobID) -> JobView? { self.directory.find(id) }

    /// Takes no further jobs.
    package func drain() { self.draining.store(true, ordering: .sequentiallyConsistent) }

    package var isDraining: Bool { self.draining.load(ordering: .sequentiallyConsistent) }

    /// Begins a job; its first event is in the log when this returns.
    /// - Parameter owner: who asks; nil for nobody.
    /// - Throws: `draining`, `overloaded`, `unsupported_parameter`.
    package func start(_ plan: JobPlan, owner: String? = nil) throws(GatewayError) -> Job {
        if self.isDraining {
            throw GatewayError(.draining, "The gateway is shutting down.", retryAfterMilliseconds: 5000)
        }
        if self.budget.isExhausted { self.budget.reclaim(self.budget.heldBytes - self.budget.limit + 1) }
        if self.budget.isExhausted {
            throw GatewayError(.overloaded, "The gateway holds as much as it may.", retryAfterMilliseconds: 2000)
        }
        var generator = SystemRandomNumberGenerator()
        let id = JobID(high: generator.next(), low: generator.next())
        let exchange = try plan.upstream.adapter.makeExchange(
            for: ExchangeJob(id: id, request: plan.request, entropy: generator.next()))
        let job = Job(id: id, owner: owner, plan: plan, createdAt: self.now(), log: EventLog(epoch: self.epoch))
        self.directory.begin(job)
        let driver = ExchangeDriver(job: job, exchange: exchange, environment: self.environment())
        driver.start()
        return job
    }

    private func environment() -> ExchangeDriver.Environment {
        ExchangeDriver.Environment(
            transport: self.transport, budget: self.budget, keeper: self.keeper, now: self.now, logger: self.logger,
            onEnd: { [weak self] job in self?.ended(job) })
    }

    private func ended(_ job: Job) {
        var isStored = false
        if case .completed(let completion)? = job.log.standing.terminal?.event {
            self.medians.record(completion.timings.generating, for: job.plan)
            isStored = self.keeper != nil && job.plan.delivery == .url
        }
        self.directory.end(JobRecord(job), keepsPayloads: !isStored)
    }

    /// Nobody watches the job any more: its route says what becomes of it.
    func unwatched(_ job: Job) {
        job.noteRead()
        switch job.plan.disconnect {
        case .continue: break
        case .cancel: job.cancel(.disconnect)
        case .grace(let grace): self.waitOut(job, grace: TimeAmount(grace))
        }
    }

    /// Ends the job once nobody has watched it or asked where it stands for a whole grace.
    private func waitOut(_ job: Job, grace: TimeAmount) {
        let reads = job.readCount
        self.eventLoopGroup.any().scheduleTask(in: grace) { [weak self] in
            guard job.log.readerCount == 0, job.log.standing.terminal == nil else { return }
            if job.readCount == reads { job.cancel(.disconnect) } else { self?.waitOut(job, grace: grace) }
        }
    }

    /// Median time from the start of work to the picture, in milliseconds.
    package func median(for plan: JobPlan) -> Int { self.medians.median(for: plan) }

    /// Ends every job that runs, as when the time for draining is over.
    package func cancelAll() {
        for job in self.directory.running { job.cancel(.operator) }
    }
}
