import Dialects
import ImageGeneration
import Logging
import NIOPosix
import SQLiteStorage
import Storage
import Testing

@testable import Gateway

/// `GET /v1/jobs` over the job store.
@Suite struct StoredHistoryTests {
    private let transport = ScriptedTransport()

    private func supervisor(_ jobs: StoredJobs) -> JobSupervisor {
        JobSupervisor(
            transport: self.transport, budget: PayloadBudget(limit: 64 << 20), keeper: nil, store: jobs.store, epoch: 7,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            now: { StoredJobs.now.advanced(byMilliseconds: 1000) },
            logger: Logger(label: "history") { _ in SwiftLogNoOpLogHandler() })
    }

    private func pages(_ supervisor: JobSupervisor, _ query: HistoryQuery) async throws -> [[JobID]] {
        var query = query
        var pages: [[JobID]] = []
        repeat {
            let page = try await supervisor.history(query)
            pages.append(page.jobs.map(\.id))
            // As a client brings it back.
            query.cursor = page.next.flatMap { HistoryCursor($0.text) }
        } while query.cursor != nil
        return pages
    }

    @Test func pagesHoldOnesOwnJobsOfEarlierProcessesAndOfThisOne() async throws {
        try await StoredJobs.with { jobs in
            var ids: [JobID] = []
            for number in 0..<5 {
                let at = StoredJobs.now.advanced(byMilliseconds: Int64(number))
                ids.append(try await jobs.accept(owner: "alice", route: number == 1 ? "other" : "generate", at: at))
            }
            _ = try await jobs.accept(owner: "bob")
            _ = try await jobs.accept(owner: nil)
            for id in ids[..<3] { try await jobs.end(id, at: StoredJobs.now) }
            try await jobs.end(ids[3], with: .error(GatewayError(.upstreamError, "no")))
            let supervisor = self.supervisor(jobs)
            let terms = AcceptanceTerms(owner: "alice", clientAddress: "", dialect: "unified", mode: .queue)
            guard case .started(let live) = try await supervisor.accept(SamplePlan.plan(), terms) else { return }
            #expect(
                try await self.pages(supervisor, HistoryQuery(scope: .principal("alice"), limit: 2)) == [
                    [live.id, ids[4]], [ids[3], ids[2]], [ids[1], ids[0]],
                ])
            let cases: [(Set<Stage>, Set<String>, [JobID])] = [
                ([.completed], [], [ids[2], ids[1], ids[0]]), ([.completed], ["generate"], [ids[2], ids[0]]),
                ([.error], [], [ids[3]]), ([.queued], [], [live.id, ids[4]]), ([], ["other"], [ids[1]]),
                ([.cancelled], [], []),
            ]
            for (stages, routes, expected) in cases {
                let query = HistoryQuery(scope: .principal("alice"), stages: stages, routes: routes)
                #expect(try await self.pages(supervisor, query) == [expected])
            }
            #expect(try await self.pages(supervisor, HistoryQuery(scope: .principal("carol"))) == [[]])
            #expect(try await self.pages(supervisor, HistoryQuery(scope: .principal(nil))) == [[]])
        }
    }

    @Test func whatRunsHereIsShownAsItIsNow() async throws {
        try await StoredJobs.with { jobs in
            let supervisor = self.supervisor(jobs)
            let terms = AcceptanceTerms(owner: "alice", clientAddress: "", dialect: "unified", mode: .queue)
            guard case .started(let live) = try await supervisor.accept(SamplePlan.plan(), terms) else { return }
            live.log.append(
                .stage(StageChange(message: "working")), at: StoredJobs.now, stage: .generating, progress: 30)
            let all = try await supervisor.history(HistoryQuery(scope: .principal("alice")))
            #expect(all.jobs.map(\.snapshot.stage) == [.generating] && all.jobs.first?.running != nil)
            // The store has not been told yet: what it finds as queued is queued no more.
            let queued = try await supervisor.history(HistoryQuery(scope: .principal("alice"), stages: [.queued]))
            #expect(queued.jobs.isEmpty)
        }
    }

    @Test func aStoredJobShowsHowFarItGot() async throws {
        try await StoredJobs.with { jobs in
            let id = try await jobs.accept(owner: "alice")
            let progress = JobProgress(stage: .generating, progress: 42, message: "half way", queuePosition: 3)
            jobs.store.record(.progress(progress), of: id, at: StoredJobs.now)
            // Written a moment later.
            let supervisor = self.supervisor(jobs)
            var snapshot: JobSnapshot
            repeat {
                let page = try await supervisor.history(HistoryQuery(scope: .principal("alice")))
                snapshot = try #require(page.jobs.first?.snapshot)
            } while snapshot.progress == 0
            #expect(snapshot.stage == .generating && snapshot.progress == 42 && snapshot.message == "half way")
            #expect(snapshot.queuePosition == 3 && snapshot.terminal == nil)
        }
    }

    @Test func theFinalSnapshotIsOfJobsThatAreOver() async throws {
        try await StoredJobs.with { jobs in
            let (over, open) = (try await jobs.accept(), try await jobs.accept())
            try await jobs.end(over)
            let supervisor = self.supervisor(jobs)
            let snapshot = try #require(try await supervisor.finalSnapshot(of: over))
            #expect(snapshot.stage == .completed && snapshot.job == over)
            #expect(try await supervisor.finalSnapshot(of: open) == nil)
            #expect(try await supervisor.finalSnapshot(of: JobID()) == nil)
        }
    }
}
