import ImageGeneration
import Storage
import Testing

@testable import SQLiteStorage

@Suite struct WebhookTests {
    private func message(_ id: String, dueAfter milliseconds: Int64 = 0) -> WebhookMessage {
        WebhookMessage(
            id: id, endpoint: "app", body: "{\"id\":\"\(id)\"}",
            dueAt: Samples.now.advanced(byMilliseconds: milliseconds))
    }

    private func later(_ milliseconds: Int64) -> Timestamp { Samples.now.advanced(byMilliseconds: milliseconds) }

    private func ended(_ store: SQLiteJobStore, _ messages: [WebhookMessage]) async throws -> JobID {
        let job = Samples.job()
        _ = try await store.accept(job)
        try await store.terminal(Samples.completed(), of: job.id, webhooks: messages)
        return job.id
    }

    @Test func onlyTheWinnerEnqueues() async throws {
        try await StoreFixture.with { store, _ in
            let job = try await self.ended(store, [self.message("a"), self.message("b")])
            try await store.terminal(Samples.completed(), of: job, webhooks: [self.message("c")])
            #expect(try await store.deliveries(of: job).map(\.message.id) == ["a", "b"])
            #expect(try await store.deliveries(of: job).map(\.state) == [.pending, .pending])
            #expect(try await store.deliveries(of: JobID()).isEmpty)
        }
    }

    @Test func aMessageThatCannotBeEnqueuedUndoesTheEnd() async throws {
        try await StoreFixture.with { store, _ in
            _ = try await self.ended(store, [self.message("a")])
            let job = Samples.job()
            _ = try await store.accept(job)
            let code = await GatewayError.Code.of {
                try await store.terminal(Samples.completed(), of: job.id, webhooks: [self.message("a")])
            }
            #expect(code == .internal)
            #expect(try await store.job(job.id)?.terminal == nil)
            try await store.terminal(Samples.completed(), of: job.id)
        }
    }

    @Test func claimsHideUntilTheirLeaseEnds() async throws {
        try await StoreFixture.with { store, _ in
            let job = try await self.ended(
                store, [self.message("late", dueAfter: 500), self.message("b", dueAfter: 1), self.message("a")])
            #expect(try await store.nextDue() == Samples.now)
            let first = try await store.claimDue(at: self.later(1), leaseMilliseconds: 100, limit: 1)
            #expect(first.map(\.message.id) == ["a"] && first.map(\.attempt) == [1] && first.map(\.job) == [job])
            let second = try await store.claimDue(at: self.later(1), leaseMilliseconds: 100, limit: 10)
            #expect(second.map(\.message.id) == ["b"])
            #expect(try await store.claimDue(at: self.later(100), leaseMilliseconds: 100, limit: 10).isEmpty)
            #expect(try await store.nextDue() == self.later(101))
            let again = try await store.claimDue(at: self.later(101), leaseMilliseconds: 100, limit: 10)
            #expect(again.map(\.message.id) == ["b", "a"] && again.map(\.attempt) == [2, 2])

            // The first sender comes back too late: what it says is logged but decides nothing.
            let stale = WebhookAttempt(number: 1, at: self.later(102), error: "slow\u{0}")
            #expect(try await !store.record(stale, of: "a", fate: .givenUp))
            let fresh = WebhookAttempt(number: 2, at: self.later(103), status: 200)
            #expect(try await store.record(fresh, of: "a", fate: .delivered))
            #expect(try await !store.record(fresh, of: "a", fate: .givenUp))
            let log = try await store.deliveries(of: job)
            #expect(log.map(\.message.id) == ["late", "b", "a"])
            #expect(log.map(\.state) == [.pending, .pending, .delivered])
            #expect(log[2].attempts == [stale, fresh])
        }
    }

    @Test func messagesAreRetriedAndGivenUp() async throws {
        try await StoreFixture.with { store, fixture in
            let job = try await self.ended(store, [self.message("a")])
            for number in 1...3 {
                let now = self.later(Int64(number) * 1000)
                let claimed = try await store.claimDue(at: now, leaseMilliseconds: 100, limit: 10)
                #expect(claimed.map(\.attempt) == [number])
                let attempt = WebhookAttempt(number: number, at: now, status: 503, error: "busy")
                let fate: WebhookFate =
                    number < 3 ? .retry(at: now.advanced(byMilliseconds: 1000)) : .givenUp
                #expect(try await store.record(attempt, of: "a", fate: fate))
            }
            #expect(try await store.claimDue(at: self.later(1_000_000), leaseMilliseconds: 1, limit: 10).isEmpty)
            #expect(try await store.nextDue() == nil)
            let log = try await store.deliveries(of: job)
            #expect(log.map(\.state) == [.givenUp] && log.first?.attempts.count == 3)
            let attempt = WebhookAttempt(number: 1, at: Samples.now)
            #expect(try await !store.record(attempt, of: "unknown", fate: .delivered))
        }
    }

    @Test func concurrentSendersNeverShareAMessage() async throws {
        try await StoreFixture.with { store, _ in
            _ = try await self.ended(store, (0..<100).map { self.message("m\($0)") })
            let claimed = try await withThrowingTaskGroup(of: [String].self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await store.claimDue(at: Samples.now, leaseMilliseconds: 1000, limit: 7).map(\.message.id)
                    }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
            #expect(claimed.count == 100 && Set(claimed).count == 100)
        }
    }
}
