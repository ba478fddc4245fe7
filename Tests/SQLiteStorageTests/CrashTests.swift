import Foundation
import GRDB
import ImageGeneration
import Storage
import Synchronization
import Testing

@testable import SQLiteStorage

@Suite struct CrashTests {
    /// Database and log are copied in the middle of a commit, as a crash would leave them: what was acknowledged before
    /// is there.
    @Test(arguments: [true, false]) func whatWasAcknowledgedSurvives(_ withIndex: Bool) async throws {
        try await StoreFixture.with { store, fixture in
            let acknowledged = Acknowledgements()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<16 { group.addTask { try await acknowledged.gather(from: store) } }
                var copies: [(path: String, known: [JobID])] = []
                for round in 0..<12 {
                    fixture.commits.closeGate()
                    await fixture.commits.waitUntilHeld()
                    let known = acknowledged.jobs
                    copies.append((try fixture.copy(to: "round\(round)", withIndex: withIndex), known))
                    fixture.commits.openGate()
                    if round % 3 == 2 {
                        try await store.pool.writeWithoutTransaction { db in _ = try db.checkpoint(.passive) }
                    }
                }
                acknowledged.end()
                try await group.waitForAll()
                for copy in copies { try await self.check(copy.path, holds: copy.known, fixture) }
            }
            #expect(acknowledged.jobs.count > 12)
        }
    }

    private func check(_ path: String, holds jobs: [JobID], _ fixture: StoreFixture) async throws {
        let copy = try fixture.openCopy(path)
        for id in jobs {
            let job = try await copy.job(id)
            #expect(job?.submissions.count == 1)
        }
        let health = try await copy.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
        #expect(health == "ok")
        #expect(copy.epoch == 2)
        await copy.close()
    }
}

/// Jobs whose acceptance and submission were answered.
private final class Acknowledgements: Sendable {
    private let state = Mutex<(jobs: [JobID], isOver: Bool)>(([], false))

    var jobs: [JobID] { self.state.withLock { $0.jobs } }

    func end() { self.state.withLock { $0.isOver = true } }

    /// One job after the other, until the end.
    func gather(from store: SQLiteJobStore) async throws {
        while !Task.isCancelled, !self.state.withLock({ $0.isOver }) {
            let job = Samples.job()
            _ = try await store.accept(job)
            try await store.submitting(
                Submission(upstream: "a", attempt: 1, imageIndex: 0, at: Samples.now), of: job.id)
            self.state.withLock { $0.jobs.append(job.id) }
        }
    }
}

@Suite struct StorageFaultTests {
    @Test(arguments: [
        (ResultCode.SQLITE_IOERR_FSYNC, true), (.SQLITE_IOERR_WRITE, true), (.SQLITE_IOERR_DIR_FSYNC, true),
        (.SQLITE_IOERR, true), (.SQLITE_CORRUPT, true), (.SQLITE_READONLY_DBMOVED, true), (.SQLITE_FULL, false),
        (.SQLITE_BUSY, false), (.SQLITE_NOMEM, false), (.SQLITE_CONSTRAINT_UNIQUE, false),
        (.SQLITE_IOERR_SHMSIZE, false),
    ]) func someErrorsAreForGood(_ code: ResultCode, _ isFatal: Bool) {
        let fault = StorageFault(DatabaseError(resultCode: code), systemCode: 0)
        if case .fatal = fault { #expect(isFatal) } else { #expect(!isFatal) }
    }

    @Test func aQuotaIsAFullDiskUnlessItFailsAFlush() {
        let write = StorageFault(DatabaseError(resultCode: .SQLITE_IOERR_WRITE), systemCode: EDQUOT)
        #expect(write.gatewayError.code == .storageFull)
        let flush = StorageFault(DatabaseError(resultCode: .SQLITE_IOERR_FSYNC), systemCode: ENOSPC)
        #expect(flush.gatewayError.code == .storageUnavailable)
    }

    @Test func aFailedFlushEndsTheStoreWithOneLine() async throws {
        try await StoreFixture.with { store, fixture in
            let job = Samples.job()
            _ = try await store.accept(job)
            fixture.commits.closeGate()
            fixture.commits.fail(with: DatabaseError(resultCode: .SQLITE_IOERR_FSYNC))
            let codes = try await withThrowingTaskGroup(of: GatewayError.Code?.self) { group in
                group.addTask { await .of { _ = try await store.accept(Samples.job()) } }
                await fixture.commits.waitUntilHeld()
                for _ in 0..<5 { group.addTask { await .of { _ = try await store.accept(Samples.job()) } } }
                group.addTask { await .of { try await store.terminal(Samples.completed(), of: job.id) } }
                await store.waitForWaiting(6)
                fixture.commits.openGate()
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes.count == 7 && codes.allSatisfy { $0 == .storageUnavailable })
            #expect(fixture.commits.fatal.count == 1)
            #expect(fixture.commits.fatal.first?.contains("\n") == false)
            #expect(store.health == .failed)
            fixture.commits.fail(with: nil)
            await expectFailure(.storageUnavailable) { _ = try await store.accept(Samples.job()) }
            #expect(fixture.commits.fatal.count == 1)
            #expect(try await store.job(job.id)?.terminal == nil)
        }
    }

    @Test func aFullDiskRefusesAndMends() async throws {
        try await StoreFixture.with { store, fixture in
            let job = Samples.job(notify: String(repeating: "y", count: 200_000))
            _ = try await store.accept(job)
            try self.setRoom(of: store, pages: 0)
            let large = Samples.job(prompt: String(repeating: "x", count: 200_000))
            await expectFailure(.storageFull) { _ = try await store.accept(large) }
            #expect(store.health == .full && fixture.commits.fatal.isEmpty)

            // What happened is told of the failure, and written when there is room.
            let code = await GatewayError.Code.of { try await store.terminal(Samples.completed(), of: job.id) }
            #expect(code == .storageFull)
            #expect(try await store.job(job.id)?.terminal == nil)

            try self.setRoom(of: store, pages: 10_000)
            #expect(try await store.accept(large) == .accepted)
            #expect(store.health == .writing)
            #expect(try await store.job(job.id)?.stage == .completed)
            #expect(try await store.deliveries(DeliveryQuery(job: job.id)).map(\.message.endpoint) == [job.notify])
            #expect(fixture.commits.health == [.full, .writing])
        }
    }

    @Test func aFullDiskMendsByItself() async throws {
        try await StoreFixture.with { store, fixture in
            let job = Samples.job()
            _ = try await store.accept(job)
            fixture.commits.fail(with: DatabaseError(resultCode: .SQLITE_FULL))
            let code = await GatewayError.Code.of { try await store.terminal(Samples.completed(), of: job.id) }
            #expect(code == .storageFull)
            fixture.commits.fail(with: nil)
            while store.health != .writing { await Task.yield() }
            #expect(try await store.job(job.id)?.stage == .completed)
        }
    }

    @Test func aBusyDatabaseLosesNoFact() async throws {
        try await StoreFixture.with { store, fixture in
            let job = Samples.job()
            _ = try await store.accept(job)
            fixture.commits.fail(with: DatabaseError(resultCode: .SQLITE_BUSY))
            await expectFailure(.storageUnavailable) { _ = try await store.accept(Samples.job()) }
            #expect(store.health == .unanswered)
            store.record(.image(Samples.image(0)), of: job.id, at: Samples.now)
            let code = await GatewayError.Code.of { try await store.terminal(Samples.completed(), of: job.id) }
            #expect(code == .storageUnavailable)
            fixture.commits.fail(with: nil)
            _ = try await store.accept(Samples.job())
            let stored = try #require(try await store.job(job.id))
            #expect(stored.stage == .completed && stored.images.count == 1)
            #expect(fixture.commits.fatal.isEmpty)
        }
    }

    private func setRoom(of store: SQLiteJobStore, pages: Int) throws {
        try store.pool.writeWithoutTransaction { db in
            let count = try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            try db.execute(sql: "PRAGMA max_page_count = \(count + pages)")
        }
    }
}

@Suite struct CheckpointTests {
    @Test func aLongLogIsCopiedAndBeginsAnew() async throws {
        try await StoreFixture.with({ $0.logBytes = 40 * 4096 }) { store, fixture in
            for _ in 0..<400 { _ = try await store.accept(Samples.job()) }
            let size = try FileManager.default.attributesOfItem(atPath: fixture.path + "-wal")[.size] as? NSNumber
            #expect((size?.intValue ?? 0) < 80 * 4120)
        }
    }
}
