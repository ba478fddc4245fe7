import Dialects
import ImageGeneration
import Logging
import NIOPosix
import Providers
import Storage
import Testing

@testable import Gateway

@Suite struct JobSupervisorTests {
    private let transport = ScriptedTransport()

    private func supervisor(memory: Int = 64 << 20, budget: PayloadBudget? = nil) -> JobSupervisor {
        JobSupervisor(
            transport: self.transport, budget: budget ?? PayloadBudget(limit: memory), keeper: nil, epoch: 7,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, now: { Timestamp(seconds: 1_700_000_000) },
            logger: Logger(label: "supervisor") { _ in SwiftLogNoOpLogHandler() })
    }

    private static let done = PuppetAdapter(react: { input in
        switch input {
        case .start: [.send(PuppetAdapter.submit, call: 0)]
        case .ended: [.emit(.sampleImage()), .finish(nil)]
        case .cancel: [.finish(GatewayError(.cancelled, ""))]
        default: []
        }
    })

    private static func plan(_ delivery: Delivery = .inline, disconnect: DisconnectPolicy = .continue) -> JobPlan {
        SamplePlan.plan(delivery: delivery, upstream: SamplePlan.target(done), disconnect: disconnect)
    }

    @Test func knowsAJobWhileItRuns() throws {
        let supervisor = self.supervisor()
        let job = try supervisor.start(Self.plan())
        #expect(supervisor.runningCount == 1)
        #expect(supervisor.directory.find(job.id)?.running === job)
        #expect(job.log.standing.last.epoch == 7)
        self.transport.sessions[0].run()
        self.transport.sessions[0].end()
        #expect(supervisor.runningCount == 0)
        let over = try #require(supervisor.directory.find(job.id))
        #expect(over.running == nil)
        #expect(over.snapshot.stage == .completed)
        #expect(over.log.retained.map(\.sequence) == job.log.retained.map(\.sequence))
        #expect(supervisor.directory.heldBytes > 0)
    }

    @Test func knowsAFinishedJobThatDeliversByURL() throws {
        let supervisor = self.supervisor()
        let job = try supervisor.start(Self.plan(.url))
        self.transport.sessions[0].run()
        self.transport.sessions[0].end()
        #expect(supervisor.runningCount == 0)
        #expect(supervisor.directory.find(job.id)?.snapshot.stage == .completed)
    }

    @Test func takesNothingWhileItDrains() throws {
        let supervisor = self.supervisor()
        supervisor.drain()
        #expect(supervisor.isDraining)
        #expect(throws: GatewayError.self) { try supervisor.start(Self.plan()) }
        #expect(self.transport.sessions.isEmpty)
    }

    @Test func takesNothingWithoutMemory() throws {
        let budget = PayloadBudget(limit: 100)
        let supervisor = self.supervisor(budget: budget)
        let lease = budget.leaseAlways(100)
        do {
            _ = try supervisor.start(Self.plan())
            Issue.record("started")
        } catch { #expect(error.code == .overloaded && error.retryAfterMilliseconds != nil) }
        withExtendedLifetime(lease) {}
    }

    /// What finished jobs hold stands in nobody's way.
    @Test func finishedJobsGiveTheirMemoryToNewOnes() throws {
        let budget = PayloadBudget(limit: 100)
        let supervisor = self.supervisor(budget: budget)
        let id = try supervisor.start(Self.plan()).id
        self.transport.sessions[0].run()
        self.transport.sessions[0].end()
        #expect(supervisor.directory.find(id)?.snapshot.stage == .completed)
        let lease = budget.leaseAlways(60)
        _ = try supervisor.start(Self.plan())
        #expect(supervisor.directory.heldBytes == 0)
        #expect(supervisor.directory.find(id)?.snapshot.images.count == 1)
        withExtendedLifetime(lease) {}
    }

    @Test func endsAllAtOnceAsTheOperator() throws {
        let supervisor = self.supervisor()
        let jobs = try (0..<5).map { _ in try supervisor.start(Self.plan()) }
        supervisor.endAll()
        for session in self.transport.sessions { session.run() }
        #expect(jobs.allSatisfy { $0.log.standing.stage == .cancelled })
        #expect(supervisor.runningCount == 0)
    }

    @Test func whatNobodyWatchesGoesOnOrEndsAsTheRouteSays() throws {
        for (policy, stage) in [(DisconnectPolicy.continue, Stage.queued), (.cancel, .cancelled)] {
            let supervisor = self.supervisor()
            let job = try supervisor.start(Self.plan(disconnect: policy))
            supervisor.unwatched(job)
            for session in self.transport.sessions { session.run() }
            #expect(job.log.standing.stage == stage)
        }
    }

    @Test func learnsHowLongJobsTake() throws {
        let supervisor = self.supervisor()
        _ = try supervisor.start(Self.plan())
        #expect(supervisor.median(for: Self.plan()) == 30_000)
        self.transport.sessions[0].run()
        self.transport.sessions[0].end()
        #expect(supervisor.median(for: Self.plan()) == 1)
    }

    @Test func aRequestTheProviderCannotWriteLeavesNothingBehind() throws {
        let supervisor = self.supervisor()
        let target = SamplePlan.target(RefusingAdapter())
        #expect(throws: GatewayError.self) { try supervisor.start(SamplePlan.plan(upstream: target)) }
        #expect(supervisor.runningCount == 0)
        #expect(self.transport.sessions.isEmpty)
    }
}
