import Foundation
import ImageGeneration
import Storage
import Testing

@testable import SQLiteStorage

/// Tokens and accounts: what a command writes beside a store that is open, and what jobs leave behind.
struct AccessTests {
    private static let now = Timestamp(milliseconds: 1_790_000_000_000)

    private static func token(_ id: String) -> StoredToken {
        StoredToken(
            id: id, name: "a \"name\"\u{0}ö", digest: "AAAA.BBBB", scopes: ["images", "admin"],
            routes: ["a route", "b"],
            limits: ["partner"], createdAt: self.now, expiresAt: self.now.advanced(byMilliseconds: 1))
    }

    @Test func aCommandsTokensAreSeenByAnOpenStore() async throws {
        try await StoreFixture.with { store, fixture in
            let before = try await store.tokenRevision()
            #expect(try await store.tokens() == [])
            let administration = try StoreAdministration.open(fixture.path)
            let plain = StoredToken(id: "tok_b", name: "b", digest: "d", createdAt: Self.now)
            try administration.add(Self.token("tok_a"))
            try administration.add(plain)
            #expect(try await store.tokens() == [Self.token("tok_a"), plain])
            #expect(try administration.tokens() == [Self.token("tok_a"), plain])
            let between = try await store.tokenRevision()
            #expect(between != before)
            let later = Self.now.advanced(byMilliseconds: 5)
            #expect(try administration.revoke("tok_b", at: later))
            #expect(try await store.tokenRevision() != between)
            #expect(try administration.revoke("tok_b", at: later.advanced(byMilliseconds: 1)))
            #expect(try await store.tokens().map(\.revokedAt) == [nil, later])
            #expect(try administration.revoke("' OR 1=1 --", at: later) == false)
            #expect(throws: SQLiteStoreError.self) { try administration.add(plain) }
            administration.close()
        }
    }

    @Test func aCommandMakesTheDatabaseThatAStoreOpensLater() async throws {
        let fixture = try StoreFixture()
        let administration = try StoreAdministration.open(fixture.path)
        try administration.add(Self.token("tok_a"))
        administration.close()
        let store = try fixture.open()
        #expect(try await store.tokens().map(\.id) == ["tok_a"])
        await fixture.end(store)
    }

    @Test func aCommandLeavesADatabaseOfAnotherProgramAlone() throws {
        let fixture = try StoreFixture()
        try Data("SQLite format 3 it is not, but something else.".utf8).write(to: URL(fileURLWithPath: fixture.path))
        #expect(throws: SQLiteStoreError.self) { try StoreAdministration.open(fixture.path) }
    }

    @Test func aTokenIsGoodUntilItIsRevokedOrExpires() {
        var token = StoredToken(id: "a", name: "a", digest: "d", createdAt: Self.now)
        #expect(token.isGood(at: Self.now))
        token.expiresAt = Self.now
        #expect(!token.isGood(at: Self.now) && token.isGood(at: Self.now.advanced(byMilliseconds: -1)))
        token.expiresAt = nil
        token.revokedAt = Self.now
        #expect(!token.isGood(at: Self.now))
    }

    // MARK: Accounts

    private static func job(_ owner: String?, route: String) -> AcceptedJob {
        AcceptedJob(
            id: JobID(), owner: JobOwner(principal: owner, clientAddress: "192.0.2.1"), route: route,
            dialect: "unified",
            request: ImageRequest(operation: .generate, prompt: "a lake"), upstream: "lab", delivery: "inline",
            disconnect: "continue", mode: "auto", createdAt: self.now)
    }

    private static func completed(cost: Double?) -> JobEvent {
        let image = FinishedImage(
            imageIndex: 0, imageID: ImageID(), width: 1, height: 1,
            attributes: ImageAttributes(size: "", quality: "", background: "", outputFormat: "png", createdAt: 0),
            fileSize: 1)
        return .completed(
            Completion(
                images: [image, image], usage: Usage(inputTokens: 3, outputTokens: 40, totalTokens: 43), cost: cost,
                upstream: "lab", model: "", timings: Timings()))
    }

    private static func end(
        _ store: SQLiteJobStore, _ job: AcceptedJob, _ event: JobEvent, at: Timestamp = now, used: Usage? = nil
    ) async throws {
        _ = try await store.accept(job)
        if let used { store.record(.usage(used), of: job.id, at: at) }
        _ = try await withCheckedThrowingContinuation { continuation in
            store.terminal(event, of: job.id, at: at) { continuation.resume(with: $0) }
        }
    }

    @Test func eachJobIsBookedOnceWithItsEnd() async throws {
        try await StoreFixture.with { store, fixture in
            let failed = JobEvent.error(GatewayError(.upstreamStalled, "x"))
            let job = Self.job("tok_a", route: "images")
            try await Self.end(store, job, Self.completed(cost: 2.5))
            try await Self.end(store, Self.job("tok_a", route: "images"), Self.completed(cost: nil))
            try await Self.end(store, Self.job("tok_a", route: "images"), failed, used: Usage(inputTokens: 7))
            try await Self.end(store, Self.job("tok_a", route: "edits"), failed)
            try await Self.end(store, Self.job(nil, route: "images"), Self.completed(cost: 0.001))
            for session in ["ses_a", "ses_b"] {
                try await Self.end(store, Self.job(session, route: "images"), Self.completed(cost: 1))
            }
            let tomorrow = Self.now.advanced(byMilliseconds: UsageAccount.millisecondsOfDay)
            try await Self.end(store, Self.job("tok_b", route: "images"), failed, at: tomorrow)
            // The second end of a job changes nothing.
            _ = try await withCheckedThrowingContinuation { continuation in
                store.terminal(Self.completed(cost: 9), of: job.id, at: Self.now) { continuation.resume(with: $0) }
            }
            let administration = try StoreAdministration.open(fixture.path)
            let lines = try administration.usage(UsageQuery()).map { account in
                let sums = account.sums
                return "\(account.principal) \(account.route) \(sums.jobs) \(sums.failures) \(sums.images) "
                    + "\(sums.inputTokens) \(sums.outputTokens) \(sums.cost)"
            }
            #expect(
                lines == [
                    " images 1 0 2 3 40 1", "session images 2 0 4 6 80 2000", "tok_a edits 1 1 0 0 0 0",
                    "tok_a images 3 1 4 13 80 2500", "tok_b images 1 1 0 0 0 0",
                ])
            let day = UsageAccount.day(of: tomorrow)
            #expect(try administration.usage(UsageQuery(since: day)).map(\.principal) == ["tok_b"])
            #expect(try administration.usage(UsageQuery(principal: "tok_a")).count == 2)
            // Accounts outlive the jobs.
            _ = try await store.delete([job.id])
            #expect(try administration.usage(UsageQuery()).count == 5)
            administration.close()
        }
    }
}
