import Glibc
import ImageGeneration
import Logging
import NIOCore
import Providers
import Storage
import Synchronization
import Transport

@testable import Gateway

/// One job driven over the scripted transport.
struct Drive {
    let transport = ScriptedTransport()
    let budget: PayloadBudget
    let job: Job
    let ends = EndCounter()

    /// How often the job was reported as ended.
    final class EndCounter: Sendable {
        private let count = Atomic<Int>(0)
        func add() { self.count.add(1, ordering: .relaxed) }
        var value: Int { self.count.load(ordering: .relaxed) }
    }

    var session: ScriptedSession { self.transport.sessions[0] }

    init(
        _ plan: JobPlan, memory: Int = 64 << 20, keeper: ImageKeeper? = nil, run: Bool = true
    ) throws {
        self.budget = PayloadBudget(limit: memory)
        let now = Timestamp(seconds: 1_700_000_000)
        self.job = Job(id: JobID(), plan: plan, createdAt: now, log: EventLog(epoch: 1))
        let exchange = try plan.upstream.adapter.makeExchange(
            for: ExchangeJob(id: self.job.id, request: plan.request, entropy: 1))
        let driver = ExchangeDriver(
            job: self.job, exchange: exchange,
            environment: ExchangeDriver.Environment(
                transport: self.transport, budget: self.budget, keeper: keeper, now: { now },
                logger: Logger(label: "driver") { _ in SwiftLogNoOpLogHandler() }, onEnd: { [ends] _ in ends.add() }))
        driver.start()
        if run { self.session.run() }
    }

    /// The real adapter of OpenAI's API.
    static func openAI(_ count: Int = 1, partialImages: Int? = 1, memory: Int = 64 << 20) throws -> Drive {
        let adapter = try OpenAIImagesAdapter(
            ProviderConfiguration(name: "lab", baseURL: "https://lab.example/v1", apiKey: "key"))
        return try Drive(
            SamplePlan.plan(count: count, partialImages: partialImages, upstream: SamplePlan.target(adapter)) {
                $0.size = .named("1024x1024")
            }, memory: memory)
    }

    static func puppet(
        timeouts: RouteTable.Timeouts = SamplePlan.timeouts, memory: Int = 64 << 20,
        hosts: [HostPattern] = [], _ react: @escaping @Sendable (PuppetAdapter.Input) -> ExchangeActions
    ) throws -> Drive {
        try Drive(
            SamplePlan.plan(
                upstream: SamplePlan.target(PuppetAdapter(react: react), resultHosts: hosts), timeouts: timeouts),
            memory: memory)
    }

    /// The memory's answers come from an event loop.
    func waitForAnswer(_ isThere: () -> Bool) {
        let deadline = NIODeadline.now() + .seconds(30)
        while !isThere(), NIODeadline.now() < deadline {
            self.session.run()
            sched_yield()
        }
    }

    var terminal: String {
        switch self.job.log.standing.terminal?.event {
        case .completed(let completion): "completed \(completion.images.count)"
        case .error(let error): "error \(error.code.rawValue) \(error.billed.rawValue)"
        case .cancelled(let cancelled): "cancelled \(cancelled.reason.rawValue) \(cancelled.billed.rawValue)"
        case .stage, .partialImage, .textDelta, .image, nil: "none"
        }
    }

    /// The job is over, its session closed once and nobody is told twice.
    var isSettled: Bool { self.session.closeCount == 1 && self.ends.value == 1 && self.session.openCalls.isEmpty }
}
