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
    private let state = Mutex<State>(State())

    private static let maximumFinished = 10_000

    private struct State {
        var running: [JobID: Job] = [:]
        /// Finished jobs whose logs hold no payload, oldest first, for clients that ask how they ended.
        var finished: [JobID: Job] = [:]
        var finishedOrder = CircularBuffer<JobID>()
        var isDraining = false
    }

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
    }

    /// Jobs whose upstream half is not over.
    package var runningCount: Int { self.state.withLock { $0.running.count } }

    /// A job that runs, or one of the last 10,000 that finished and delivered by URL.
    package func job(_ id: JobID) -> Job? { self.state.withLock { $0.running[id] ?? $0.finished[id] } }

    /// Takes no further jobs.
    package func drain() { self.state.withLock { $0.isDraining = true } }

    package var isDraining: Bool { self.state.withLock { $0.isDraining } }

    /// Begins a job; its first event is in the log when this returns.
    /// - Throws: `draining`, `overloaded`, `unsupported_parameter`.
    package func start(_ plan: JobPlan) throws(GatewayError) -> Job {
        if self.isDraining {
            throw GatewayError(.draining, "The gateway is shutting down.", retryAfterMilliseconds: 5000)
        }
        if self.budget.isExhausted {
            throw GatewayError(.overloaded, "The gateway holds as much as it may.", retryAfterMilliseconds: 2000)
        }
        var generator = SystemRandomNumberGenerator()
        let id = JobID(high: generator.next(), low: generator.next())
        let exchange = try plan.upstream.adapter.makeExchange(
            for: ExchangeJob(id: id, request: plan.request, entropy: generator.next()))
        let job = Job(id: id, plan: plan, createdAt: self.now(), log: EventLog(epoch: self.epoch))
        self.state.withLock { $0.running[id] = job }
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
        if case .completed(let completion)? = job.log.standing.terminal?.event {
            self.medians.record(completion.timings.generating, for: job.plan)
        }
        self.state.withLock { state in
            state.running[job.id] = nil
            guard job.plan.delivery == .url else { return }
            state.finished[job.id] = job
            state.finishedOrder.append(job.id)
            if state.finishedOrder.count > Self.maximumFinished {
                state.finished[state.finishedOrder.removeFirst()] = nil
            }
        }
    }

    /// Nobody watches the job any more: its route says what becomes of it.
    func unwatched(_ job: Job) {
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
        let jobs = self.state.withLock { Array($0.running.values) }
        for job in jobs { job.cancel(.operator) }
    }
}
