import Admission
import Dialects
package import ImageGeneration
import Logging
import NIOCore
import Providers
import Storage
import Synchronization
import Transport

/// Starts jobs and knows all that run. A job lives in its driver, on a transport thread, whether or not anybody watches it.
/// What starting a job does beside waiting is kept out of line (decision 0010).
package final class JobSupervisor: Sendable {
    private let transport: any UpstreamTransport
    let budget: PayloadBudget
    private let keeper: ImageKeeper?
    let store: (any JobStore)?
    private let spill: SpillFolder?
    let epoch: UInt32
    private let eventLoopGroup: any EventLoopGroup
    private let now: @Sendable () -> Timestamp
    private let logger: Logger
    private let medians = ProgressMedians()
    private let onNotification: @Sendable () -> Void
    private let room = ActionRoom()
    private let draining = Atomic<Bool>(false)
    /// All jobs that are known, running or not.
    package let directory: JobDirectory
    /// Pictures of finished jobs that the directory has let go of.
    package let payloads: KeptPayloads

    /// - Parameters:
    ///   - store: where jobs outlive the process; nil: they do not.
    ///   - spill: where payloads go when memory is short and the image store does not have them; nil: nowhere.
    ///   - epoch: the start counter of this process.
    ///   - onNotification: told when a job has ended of which a webhook has to hear.
    init(
        transport: any UpstreamTransport, budget: PayloadBudget, keeper: ImageKeeper?,
        store: (any JobStore)? = nil, spill: SpillFolder? = nil, epoch: UInt32,
        eventLoopGroup: any EventLoopGroup, now: @escaping @Sendable () -> Timestamp, logger: Logger,
        onNotification: @escaping @Sendable () -> Void = {}
    ) {
        self.transport = transport
        self.budget = budget
        self.keeper = keeper
        self.store = store
        self.spill = spill
        self.epoch = epoch
        self.eventLoopGroup = eventLoopGroup
        self.now = now
        self.logger = logger
        self.onNotification = onNotification
        // Most of the memory is for jobs that run, whatever is over; and memory that is used again soon is warm.
        let directory = JobDirectory(payloadShare: budget.limit / 8) { [weak budget] payload, image in
            budget?.displaced(payload, image: image)
        }
        self.directory = directory
        self.payloads = KeptPayloads(
            open: { id in try? await keeper?.store.open(id) }, imageURL: { id in keeper?.url(of: id) })
        budget.onPressure { [weak directory] in directory?.reclaim($0, lettingGo: $1) ?? false }
        budget.onDisplacement { [weak spill] payload, image in
            if let image, let keeper, keeper.has(image) {
                return StoredPayload(image, size: payload.decodedCount, in: keeper.store)
            }
            return spill?.take(payload)
        }
    }

    /// Jobs whose upstream half is not over.
    package var runningCount: Int { self.directory.runningCount }

    /// A job that runs, or one that is over and still known: in memory or in the store.
    /// - Throws: `storage_unavailable`.
    package func job(_ id: JobID) async throws(GatewayError) -> JobView? {
        if let known = self.directory.find(id) { return known }
        guard let store = self.store, let stored = try await store.job(id), stored.terminal != nil else { return nil }
        let record = JobRecord(stored, epoch: self.epoch)
        self.directory.end(record, keepsPayloads: true)
        return JobView(record)
    }

    /// Where a job that is over stands, its pictures under fresh URLs where they are kept. Nil while it is not over.
    /// - Throws: `storage_unavailable`.
    func finalSnapshot(of id: JobID) async throws(GatewayError) -> JobSnapshot? {
        var view = self.directory.find(id)
        // The store knows of the end a moment before the log does.
        if view?.log.standing.terminal == nil {
            let stored = try await self.store?.job(id)
            view = stored.map { JobView(JobRecord($0, epoch: self.epoch)) }
        }
        guard var snapshot = view?.snapshot, snapshot.terminal != nil else { return nil }
        for index in snapshot.images.indices {
            snapshot.images[index].url = self.payloads.imageURL(snapshot.images[index].imageID)
        }
        return snapshot
    }

    /// Takes no further jobs.
    package func drain() { self.draining.store(true, ordering: .sequentiallyConsistent) }

    package var isDraining: Bool { self.draining.load(ordering: .sequentiallyConsistent) }

    /// Begins a job that is known to this process alone; its first event is in the log when this returns.
    /// - Parameter owner: who asks; nil for nobody.
    /// - Throws: `draining`, `overloaded`, `unsupported_parameter`.
    package func start(_ plan: JobPlan, owner: String? = nil) throws(GatewayError) -> Job {
        let prepared = try self.prepare(plan)
        return self.begin(prepared, plan, owner: owner, charge: nil, recorder: nil, expectsReader: false)
    }

    package enum Acceptance: Sendable {
        case started(Job)
        /// The idempotency key stands for this job.
        case existing(JobID)
    }

    /// Begins a job once it is durable, where there is a store to keep it.
    /// - Throws: as ``start(_:owner:)``, and `idempotency_mismatch`, `storage_full`, `storage_unavailable`.
    func accept(_ plan: JobPlan, _ terms: AcceptanceTerms) async throws(GatewayError) -> Acceptance {
        let prepared = try self.prepare(plan)
        switch try await self.store?.accept(terms.acceptedJob(prepared.id, plan, at: prepared.createdAt)) {
        case .accepted, nil: break
        case .existing(let id): return .existing(id)
        case .otherBody:
            throw GatewayError(
                .idempotencyMismatch, "This Idempotency-Key was used for another request.",
                parameter: "Idempotency-Key")
        }
        let recorder = self.store.map { JobRecorder(store: $0, job: prepared.id) }
        return .started(
            self.begin(
                prepared, plan, owner: terms.owner, charge: terms.charge, recorder: recorder,
                expectsReader: terms.mode == .stream))
    }

    private struct Prepared {
        let id: JobID
        let exchange: any ProviderExchange
        let createdAt: Timestamp
    }

    @inline(never)
    private func prepare(_ plan: JobPlan) throws(GatewayError) -> Prepared {
        if self.isDraining {
            throw GatewayError(.draining, "The gateway is shutting down.", retryAfterMilliseconds: 5000)
        }
        if self.budget.isExhausted { self.budget.reclaim(1) }
        if self.budget.isExhausted {
            throw GatewayError(.overloaded, "The gateway holds as much as it may.", retryAfterMilliseconds: 2000)
        }
        var generator = PooledRandomNumbers()
        let id = JobID(high: generator.next(), low: generator.next())
        let exchange = try plan.upstream.adapter.makeExchange(
            for: ExchangeJob(id: id, request: plan.request, entropy: generator.next()))
        return Prepared(id: id, exchange: exchange, createdAt: self.now())
    }

    @inline(never)
    private func begin(
        _ prepared: Prepared, _ plan: JobPlan, owner: String?, charge: LimitReceipt?, recorder: JobRecorder?,
        expectsReader: Bool
    ) -> Job {
        let job = Job(
            id: prepared.id, owner: owner, plan: plan, createdAt: prepared.createdAt,
            log: EventLog(epoch: self.epoch, expectsReader: expectsReader, budget: self.budget), charge: charge)
        self.run(job, prepared.exchange, recorder, from: .beginning)
        return job
    }

    private func run(
        _ job: Job, _ exchange: any ProviderExchange, _ recorder: JobRecorder?, from point: ExchangeDriver.StartingPoint
    ) {
        self.directory.begin(job)
        let environment = ExchangeDriver.Environment(
            transport: self.transport, budget: self.budget, keeper: self.keeper, recorder: recorder, now: self.now,
            logger: self.logger, room: self.room, onEnd: { [weak self] job in self?.ended(job) },
            onLeave: { [weak self] job in self?.directory.leave(job.id) })
        ExchangeDriver(job: job, exchange: exchange, environment: environment).start(from: point)
    }

    private func ended(_ job: Job) {
        var isStored = false
        if case .completed(let completion)? = job.log.standing.terminal?.event {
            self.medians.record(completion.timings.generating, for: job.plan)
            isStored = self.keeper != nil && job.plan.delivery == .url
        }
        self.directory.end(JobRecord(job), keepsPayloads: !isStored)
        if job.plan.notify != nil { self.onNotification() }
        self.budget.serveSoon()
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

    /// Ends every job that runs, as when the time for draining is over. One that the next process can go on with is left to it.
    package func endAll() {
        for job in self.directory.running { job.leave() }
    }
}

// MARK: - Jobs of an earlier process

extension JobSupervisor {
    /// Runs a stored job of which nothing was submitted.
    /// - Throws: `unsupported_parameter`, when the upstream has changed.
    func beginAgain(
        _ stored: StoredJob, _ plan: JobPlan, charge: LimitReceipt? = nil
    ) throws(GatewayError) {
        let exchange = try plan.upstream.adapter.makeExchange(for: self.exchangeJob(stored, plan))
        self.resume(stored, plan, exchange, charge, from: .beginning)
    }

    /// Follows a stored job at its upstream.
    /// - Parameter kept: of its finished pictures those that ``keptImages(of:_:)`` found.
    /// - Returns: false when the upstream's kind cannot be followed by a handle, or not by this one.
    func pickUp(
        _ stored: StoredJob, _ plan: JobPlan, handle: String, kept: [FinishedImage] = [], charge: LimitReceipt? = nil
    ) throws(GatewayError) -> Bool {
        let resumed = try plan.upstream.adapter.makeExchange(
            resuming: handle, for: self.exchangeJob(stored, plan))
        guard let exchange = resumed else { return false }
        self.resume(
            stored, plan, exchange, charge,
            from: .upstreamWorks(stage: stored.stage, progress: stored.progress, kept: kept))
        return true
    }

    /// Finished pictures of a stored job that the image store still has, as its events will tell them.
    func keptImages(of stored: StoredJob, _ plan: JobPlan) async -> [FinishedImage] {
        var kept: [FinishedImage] = []
        for var image in stored.images {
            guard let reader = await self.payloads.open(image.imageID), reader.image.size == image.fileSize,
                let keeper = self.keeper
            else { continue }
            image.payload = ImagePayload(
                displaced: StoredPayload(image.imageID, size: image.fileSize, in: keeper.store))
            image.url = plan.delivery.carriesURL ? keeper.url(of: image.imageID) : nil
            kept.append(image)
        }
        return kept
    }

    private func exchangeJob(_ stored: StoredJob, _ plan: JobPlan) -> ExchangeJob {
        var generator = PooledRandomNumbers()
        return ExchangeJob(id: stored.id, request: plan.request, entropy: generator.next())
    }

    private func resume(
        _ stored: StoredJob, _ plan: JobPlan, _ exchange: any ProviderExchange, _ charge: LimitReceipt?,
        from point: ExchangeDriver.StartingPoint
    ) {
        let job = Job(
            id: stored.id, owner: stored.principal, plan: plan, createdAt: stored.createdAt,
            log: EventLog(epoch: self.epoch, budget: self.budget), charge: charge)
        self.run(job, exchange, self.store.map { JobRecorder(store: $0, job: stored.id) }, from: point)
    }
}
