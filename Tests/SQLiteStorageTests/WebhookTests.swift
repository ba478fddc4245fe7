import GRDB
import ImageGeneration
import Storage
import Testing

@testable import SQLiteStorage

@Suite struct WebhookTests {
    private func later(_ milliseconds: Int64) -> Timestamp { Samples.now.advanced(byMilliseconds: milliseconds) }

    /// A job that has ended, of which `endpoint` has to hear.
    private func ended(_ store: SQLiteJobStore, _ endpoint: String? = "app", after: Int64 = 0) async throws -> JobID {
        let job = Samples.job(notify: endpoint)
        _ = try await store.accept(job)
        try await store.terminal(Samples.completed(), of: job.id, at: self.later(after))
        return job.id
    }

    private func claim(
        _ store: SQLiteJobStore, _ endpoint: String = "app", after: Int64, lease: Int64 = 100, limit: Int = 10
    ) async throws -> [ClaimedWebhook] {
        try await store.claimDue(to: endpoint, at: self.later(after), leaseMilliseconds: lease, limit: limit)
    }

    @Test func whoeverEndsTheJobEnqueuesItsMessageOnce() async throws {
        try await StoreFixture.with { store, _ in
            let job = try await self.ended(store)
            #expect(try await store.job(job)?.notify == "app")
            try await store.terminal(.cancelled(Cancellation(reason: .client, billed: .no)), of: job)
            let deliveries = try await store.deliveries(DeliveryQuery(job: job))
            #expect(deliveries.map(\.state) == [.pending] && deliveries.first?.attempts == [])
            let message = try #require(deliveries.first?.message)
            #expect(message.endpoint == "app" && message.job == job && message.dueAt == Samples.now)
            #expect(message.id.hasPrefix("msg_") && message.id.utf8.count == 30)
            let silent = try await self.ended(store, nil)
            #expect(try await store.deliveries(DeliveryQuery(job: silent)).isEmpty)
            #expect(try await store.deliveries(DeliveryQuery(job: JobID())).isEmpty)
        }
    }

    @Test func anEndpointsNameHoldsNoNUL() async throws {
        try await StoreFixture.with { store, _ in
            await expectFailure(.invalidParameter) { _ = try await store.accept(Samples.job(notify: "app\u{0}")) }
            await expectFailure(.invalidParameter) { _ = try await self.claim(store, "app\u{0}", after: 0) }
            let found = try await store.deliveries(DeliveryQuery(endpoint: "app\u{0}"))
            #expect(found.isEmpty)
        }
    }

    @Test func claimsHideUntilTheirLeaseEnds() async throws {
        try await StoreFixture.with { store, _ in
            let late = try await self.ended(store, after: 500)
            let b = try await self.ended(store, after: 1)
            let a = try await self.ended(store)
            #expect(try await store.owed() == [OwedWebhooks(endpoint: "app", nextDue: Samples.now)])
            let first = try await self.claim(store, after: 1, limit: 1)
            #expect(first.map(\.message.job) == [a] && first.map(\.attempt) == [1])
            #expect(try await self.claim(store, after: 1).map(\.message.job) == [b])
            #expect(try await self.claim(store, after: 100).isEmpty)
            #expect(try await store.owed() == [OwedWebhooks(endpoint: "app", nextDue: self.later(101))])
            let again = try await self.claim(store, after: 101)
            #expect(again.map(\.message.job) == [b, a] && again.map(\.attempt) == [2, 2])
            #expect(again[1].message.id == first[0].message.id)

            // The first sender comes back too late: what it says is logged but decides nothing.
            let id = first[0].message.id
            let stale = WebhookAttempt(number: 1, at: self.later(102), durationMilliseconds: 7, error: "slow\u{0}")
            #expect(try await !store.record(stale, of: id, fate: .givenUp))
            let fresh = WebhookAttempt(number: 2, at: self.later(103), status: 200)
            #expect(try await store.record(fresh, of: id, fate: .delivered))
            #expect(try await !store.record(fresh, of: id, fate: .givenUp))
            let log = try await store.deliveries(DeliveryQuery())
            #expect(log.map(\.message.job) == [a, b, late])
            #expect(log.map(\.state) == [.delivered, .pending, .pending])
            #expect(log[0].attempts == [stale, fresh])
        }
    }

    @Test func endpointsDoNotWaitForEachOther() async throws {
        try await StoreFixture.with { store, _ in
            for number in 0..<20 { _ = try await self.ended(store, "slow", after: Int64(number)) }
            let quick = try await self.ended(store, "quick", after: 50)
            _ = try await self.ended(store, "a", after: 60)
            #expect(
                try await store.owed().map { [$0.endpoint: $0.nextDue.milliseconds - Samples.now.milliseconds] }
                    == [["a": 60], ["quick": 50], ["slow": 0]])
            #expect(try await store.pendingCounts() == ["a": 1, "quick": 1, "slow": 20])
            #expect(try await self.claim(store, "quick", after: 50).map(\.message.job) == [quick])
            #expect(try await self.claim(store, "nobody", after: 50).isEmpty)
        }
    }

    @Test func anOlderDatabaseKeepsWhatItOwes() async throws {
        let fixture = try StoreFixture()
        let id = JobID()
        let old = try DatabaseQueue(path: fixture.path)
        try Schema.migrator.migrate(old, upTo: "1")
        try await old.write { db in
            let request = StoredJSON.parts(of: Samples.job().request).request
            try db.execute(
                sql: """
                    INSERT INTO job (id, route, dialect, operation, upstream, delivery, disconnect, mode, request, uploads,
                      created_at)
                    VALUES (?, 'r', 'unified', 'generate', 'u', 'inline', 'continue', 'auto', ?, 0, 1);
                    """, arguments: [id.text, request])
            try db.execute(
                sql: """
                    INSERT INTO webhook (id, job, endpoint, body, due_at, attempts) VALUES ('msg_1', 1, 'app', '{}', 5, 1);
                    INSERT INTO webhook_attempt (webhook, number, at, status) VALUES (1, 1, 4, 500);
                    """)
        }
        try old.close()
        let store = try fixture.open()
        let job = try #require(try await store.job(id))
        #expect(job.notify == nil && job.route == "r")
        #expect(
            try await store.deliveries(DeliveryQuery()) == [
                WebhookDelivery(
                    message: WebhookMessage(
                        id: "msg_1", endpoint: "app", job: id, dueAt: Timestamp(milliseconds: 5)),
                    state: .pending,
                    attempts: [WebhookAttempt(number: 1, at: Timestamp(milliseconds: 4), status: 500)])
            ])
        #expect(try await store.owed().map(\.endpoint) == ["app"])
        await fixture.end(store)
    }

    @Test func nothingIsOwedAtFirst() async throws {
        try await StoreFixture.with { store, _ in
            let (owed, counts) = (try await store.owed(), try await store.pendingCounts())
            let deliveries = try await store.deliveries(DeliveryQuery())
            #expect(owed.isEmpty && counts.isEmpty && deliveries.isEmpty)
        }
    }

    @Test func messagesAreRetriedAndGivenUp() async throws {
        try await StoreFixture.with { store, _ in
            let job = try await self.ended(store)
            for number in 1...3 {
                let now = self.later(Int64(number) * 1000)
                let claimed = try await self.claim(store, after: Int64(number) * 1000)
                #expect(claimed.map(\.attempt) == [number])
                let attempt = WebhookAttempt(number: number, at: now, status: 503)
                let fate: WebhookFate = number < 3 ? .retry(at: now.advanced(byMilliseconds: 1000)) : .givenUp
                #expect(try await store.record(attempt, of: try #require(claimed.first).message.id, fate: fate))
            }
            #expect(try await self.claim(store, after: 1_000_000).isEmpty)
            #expect(try await store.owed().isEmpty)
            let log = try await store.deliveries(DeliveryQuery(job: job))
            #expect(log.map(\.state) == [.givenUp] && log.first?.attempts.count == 3)
            #expect(try await !store.record(WebhookAttempt(number: 1, at: Samples.now), of: "x", fate: .delivered))
        }
    }

    @Test func theLogIsNarrowed() async throws {
        try await StoreFixture.with { store, _ in
            let jobs = [
                try await self.ended(store, "a"), try await self.ended(store, "b"), try await self.ended(store, "a"),
            ]
            let claimed = try await self.claim(store, "a", after: 0, limit: 1)
            let id = try #require(claimed.first?.message.id)
            _ = try await store.record(
                WebhookAttempt(number: 1, at: Samples.now, status: 200), of: id, fate: .delivered)
            let cases: [(DeliveryQuery, [Int])] = [
                (DeliveryQuery(), [2, 1, 0]), (DeliveryQuery(limit: 2), [2, 1]), (DeliveryQuery(limit: -1), [2]),
                (DeliveryQuery(endpoint: "a"), [2, 0]), (DeliveryQuery(endpoint: "%"), []),
                (DeliveryQuery(state: .delivered), [0]), (DeliveryQuery(endpoint: "a", state: .pending), [2]),
                (DeliveryQuery(state: .givenUp), []), (DeliveryQuery(job: jobs[1]), [1]),
                (DeliveryQuery(job: jobs[1], endpoint: "a"), []),
            ]
            for (query, expected) in cases {
                #expect(try await store.deliveries(query).map(\.message.job) == expected.map { jobs[$0] })
            }
        }
    }

    @Test func concurrentSendersNeverShareAMessage() async throws {
        try await StoreFixture.with { store, _ in
            for _ in 0..<100 { _ = try await self.ended(store) }
            let claimed = try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<20 {
                    group.addTask { try await self.claim(store, after: 0, limit: 7).map(\.message.id) }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(claimed.count == 100 && Set(claimed).count == 100)
        }
    }
}
