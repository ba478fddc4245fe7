import ImageGeneration
import Storage
import Testing

@testable import SQLiteStorage

@Suite struct HistoryTests {
    private func all(_ store: SQLiteJobStore, _ query: HistoryQuery, between: () async throws -> Void = {}) async throws
        -> [JobID]
    {
        var (query, found) = (query, [JobID]())
        repeat {
            let page = try await store.history(query)
            #expect(page.jobs.count <= query.limit)
            found += page.jobs.map(\.id)
            query.cursor = page.next
            try await between()
        } while query.cursor != nil
        return found
    }

    @Test(arguments: [1, 2, 3, 7, 30, 100]) func pagesAreWholeDespiteTiesAndInserts(_ limit: Int) async throws {
        try await StoreFixture.with { store, _ in
            // Ten jobs in each of three milliseconds.
            let jobs = (0..<30).map { Samples.job(at: Samples.now.advanced(byMilliseconds: Int64($0 / 10))) }
            for job in jobs.shuffled() { _ = try await store.accept(job) }
            _ = try await store.accept(Samples.job(principal: "bob"))
            _ = try await store.accept(Samples.job(principal: nil))
            let expected = jobs.sorted { ($0.createdAt, $0.id.text) > ($1.createdAt, $1.id.text) }.map(\.id)
            let found = try await self.all(store, HistoryQuery(scope: .principal("alice"), limit: limit)) {
                _ = try await store.accept(Samples.job(at: Samples.now.advanced(byMilliseconds: 1000)))
            }
            #expect(found == expected)
        }
    }

    @Test func nobodyHasNoHistoryAndTheOperatorSeesAll() async throws {
        try await StoreFixture.with { store, _ in
            let jobs = ["alice", "bob", nil].map { Samples.job(principal: $0) }
            for job in jobs { _ = try await store.accept(job) }
            #expect(try await self.all(store, HistoryQuery(scope: .principal(nil))).isEmpty)
            #expect(try await self.all(store, HistoryQuery(scope: .principal("carol"))).isEmpty)
            #expect(try await self.all(store, HistoryQuery(scope: .principal("a%"))).isEmpty)
            #expect(try await self.all(store, HistoryQuery(scope: .principal("' OR 1=1 --"))).isEmpty)
            #expect(Set(try await self.all(store, HistoryQuery(scope: .everyone))) == Set(jobs.map(\.id)))
        }
    }

    @Test func filtersNarrow() async throws {
        try await StoreFixture.with { store, _ in
            var jobs: [AcceptedJob] = []
            for number in 0..<12 {
                let job = Samples.job(
                    route: number % 2 == 0 ? "even" : "odd", at: Timestamp(milliseconds: Int64(1000 + number)))
                _ = try await store.accept(job)
                jobs.append(job)
            }
            for job in jobs[..<4] { try await store.terminal(Samples.completed(), of: job.id) }
            let failed = JobEvent.error(GatewayError(.upstreamError, "no"))
            for job in jobs[4..<6] { try await store.terminal(failed, of: job.id) }
            let cases: [(String, (inout HistoryQuery) -> Void, [Int])] = [
                ("all", { _ in }, Array(0..<12)),
                ("route", { $0.routes = ["odd"] }, [1, 3, 5, 7, 9, 11]),
                ("routes", { $0.routes = ["odd", "even", "%"] }, Array(0..<12)),
                ("unknown route", { $0.routes = ["%"] }, []),
                ("route with NUL", { $0.routes = ["odd\u{0}"] }, []),
                ("completed", { $0.stages = [.completed] }, [0, 1, 2, 3]),
                ("over", { $0.stages = [.completed, .error, .cancelled] }, [0, 1, 2, 3, 4, 5]),
                ("queued on a route", { ($0.stages, $0.routes) = ([.queued], ["even"]) }, [6, 8, 10]),
                ("before", { $0.before = Timestamp(milliseconds: 1003) }, [0, 1, 2]),
                ("since", { $0.since = Timestamp(milliseconds: 1009) }, [9, 10, 11]),
                (
                    "between",
                    { ($0.since, $0.before) = (Timestamp(milliseconds: 1002), Timestamp(milliseconds: 1004)) }, [2, 3]
                ),
            ]
            for (name, change, expected) in cases {
                var query = HistoryQuery(scope: .principal("alice"), limit: 2)
                change(&query)
                let found = try await self.all(store, query)
                #expect(found == expected.reversed().map { jobs[$0].id }, Comment(rawValue: name))
            }
        }
    }

    @Test func aPageSurvivesTheDeletionOfItsLastJob() async throws {
        try await StoreFixture.with { store, _ in
            let jobs = (0..<6).map { Samples.job(at: Timestamp(milliseconds: Int64(100 - $0))) }
            for job in jobs {
                _ = try await store.accept(job)
                try await store.terminal(Samples.completed(), of: job.id)
            }
            let page = try await store.history(HistoryQuery(scope: .principal("alice"), limit: 3))
            _ = try await store.delete([jobs[2].id])
            let rest = try await store.history(HistoryQuery(scope: .principal("alice"), cursor: page.next, limit: 3))
            #expect(rest.jobs.map(\.id) == jobs[3...].map(\.id))
        }
    }

    @Test func cursorsAreTakenOnlyAsWritten() throws {
        let cursor = HistoryCursor(createdAt: Samples.now, job: JobID())
        #expect(HistoryCursor(cursor.text) == cursor)
        let id = cursor.job.text.dropFirst(4)
        for text in [
            "", "-", "0-", "-\(id)", "+1-\(id)", "-1-\(id)", "01-\(id)", "A-\(id)", "1-\(id) ", "1-\(id)x", "1-x",
            "\(id)",
        ]
            + ["zzzzzzzzzzzzzzzzzzzz-\(id)", String(repeating: "1", count: 10_000)]
        {
            #expect(HistoryCursor(text) == nil, Comment(rawValue: text))
        }
    }

    @Test(arguments: [(-5, 1), (0, 1), (1, 1), (100, 100), (101, 100), (Int.max, 100)]) func limitsAreBounded(
        _ asked: Int, _ given: Int
    ) {
        #expect(HistoryQuery(scope: .everyone, limit: asked).limit == given)
    }
}
