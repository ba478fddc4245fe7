import Foundation
import ImageGeneration
import NIOCore
import NIOPosix
import Storage
import Synchronization
import Testing

@testable import SQLiteStorage

@Suite struct JobStoreTests {
    @Test func acceptedJobsAreReadBack() async throws {
        try await StoreFixture.with { store, _ in
            let job = Samples.job(prompt: "a\u{0}lamp \u{1F4A1}")
            #expect(try await store.accept(job) == .accepted)
            let stored = try #require(try await store.job(job.id))
            #expect(stored.principal == "alice" && stored.route == "images" && stored.dialect == "unified")
            #expect(stored.upstream == "openai" && stored.delivery == "inline" && stored.mode == "auto")
            #expect(stored.disconnect == "continue" && stored.createdAt == Samples.now)
            #expect(stored.stage == .queued && stored.progress == 0 && stored.message.isEmpty)
            #expect(stored.request.request.prompt == "a\u{0}lamp \u{1F4A1}" && stored.request.hasPrompts)
            #expect(stored.terminal == nil && stored.finishedAt == nil && stored.submissions.isEmpty)
            #expect(try await store.job(JobID()) == nil)
        }
    }

    @Test func anIdIsTakenOnce() async throws {
        try await StoreFixture.with { store, _ in
            let job = Samples.job()
            _ = try await store.accept(job)
            await expectFailure(.internal) { _ = try await store.accept(job) }
        }
    }

    @Test func namesWithNULAreRefused() async throws {
        try await StoreFixture.with { store, _ in
            _ = try await store.accept(Samples.job(principal: "alice"))
            let hostile = Samples.job(principal: "alice\u{0}2")
            await expectFailure(.invalidParameter) { _ = try await store.accept(hostile) }
            let page = try await store.history(HistoryQuery(scope: .principal("alice\u{0}2")))
            #expect(page.jobs.isEmpty)
        }
    }

    @Test func submissionsAndHandlesAreDurable() async throws {
        try await StoreFixture.with { store, fixture in
            let job = Samples.job()
            _ = try await store.accept(job)
            for (attempt, index) in [(1, 0), (1, 1), (2, 0)] {
                let submission = Submission(upstream: "flux", attempt: attempt, imageIndex: index, at: Samples.now)
                try await store.submitting(submission, of: job.id)
            }
            try await store.handle("first", of: job.id, attempt: 1, imageIndex: 1)
            try await store.handle("{\"id\":\"\u{0}\"}", of: job.id, attempt: 1, imageIndex: 1)
            let copy = try fixture.openCopy(try fixture.copy(to: "copy", withIndex: false))
            let page = try await copy.unfinished(after: nil, limit: 10)
            await copy.close()
            let submissions = try #require(page.jobs.first).submissions
            #expect(submissions.map(\.submission.attempt) == [1, 1, 2])
            #expect(submissions.map(\.submission.imageIndex) == [0, 1, 0])
            #expect(submissions.map(\.handle) == [nil, "{\"id\":\"\u{0}\"}", nil])
            #expect(submissions[0].submission.upstream == "flux" && submissions[0].submission.at == Samples.now)
        }
    }

    @Test func nothingIsSubmittedTwiceOrLate() async throws {
        try await StoreFixture.with { store, _ in
            let job = Samples.job()
            _ = try await store.accept(job)
            let first = Submission(upstream: "a", attempt: 1, imageIndex: 0, at: Samples.now)
            try await store.submitting(first, of: job.id)
            await expectFailure(.conflict) { try await store.submitting(first, of: job.id) }
            await expectFailure(.notFound) { try await store.submitting(first, of: JobID()) }
            let noSubmission = await GatewayError.Code.of {
                try await store.handle("h", of: job.id, attempt: 2, imageIndex: 0)
            }
            #expect(noSubmission == .notFound)
            try await store.terminal(Samples.completed(), of: job.id)
            let late = Submission(upstream: "a", attempt: 2, imageIndex: 0, at: Samples.now)
            await expectFailure(.conflict) { try await store.submitting(late, of: job.id) }
        }
    }

    @Test func theRestRidesAlong() async throws {
        try await StoreFixture.with { store, fixture in
            let job = Samples.job()
            _ = try await store.accept(job)
            fixture.commits.closeGate()
            for progress in 1...50 {
                let update = JobProgress(
                    stage: .generating, progress: progress, message: "step \(progress)\u{0}", queuePosition: progress)
                store.record(.progress(update), of: job.id, at: Samples.now.advanced(byMilliseconds: Int64(progress)))
            }
            let image = Samples.image(0)
            store.record(
                .imageFailed(ImageFailure(imageIndex: 0, code: .noImage, message: "m")), of: job.id, at: Samples.now)
            store.record(.image(image), of: job.id, at: Samples.now)
            store.record(.image(Samples.image(0)), of: job.id, at: Samples.now)
            store.record(
                .imageFailed(ImageFailure(imageIndex: 0, code: .noImage, message: "m")), of: job.id, at: Samples.now)
            store.record(
                .imageFailed(ImageFailure(imageIndex: 1, code: .refused, message: "n")), of: job.id, at: Samples.now)
            store.record(.usage(Usage(totalTokens: 1)), of: job.id, at: Samples.now)
            store.record(.usage(Usage(totalTokens: 2)), of: job.id, at: Samples.now)
            store.record(.cancelOutcome("pending"), of: job.id, at: Samples.now)
            fixture.commits.openGate()
            // What is held back is taken before this asks for more.
            await store.waitForNothingWaiting()
            try await store.submitting(
                Submission(upstream: "a", attempt: 1, imageIndex: 0, at: Samples.now), of: job.id)

            let stored = try #require(try await store.job(job.id))
            #expect(stored.stage == .generating && stored.progress == 50 && stored.message == "step 50\u{0}")
            #expect(stored.queuePosition == 50)
            let startedAt = try #require(stored.startedAt)
            #expect(startedAt > Samples.now)
            #expect(stored.images.map(\.imageID) == [image.imageID])
            #expect(String(reflecting: stored.images) == String(reflecting: [image]))
            #expect(stored.failures.map(\.imageIndex) == [1] && stored.failures.map(\.code) == [.refused])
            #expect(stored.usage?.totalTokens == 2 && stored.cancelOutcome == "pending")
            let owner = try await store.owner(of: image.imageID)
            #expect(owner == ImageOwner(job: job.id, principal: "alice"))
            #expect(try await store.owner(of: ImageID()) == nil)
            let snapshot = stored.snapshot(lastSequence: EventSequence(epoch: store.epoch, number: 1))
            #expect(snapshot.progress == 50 && snapshot.images.count == 1 && snapshot.startedAt == startedAt)
        }
    }

    @Test func theFirstTerminalWinsAlsoAcrossRestarts() async throws {
        let fixture = try StoreFixture()
        var store = try fixture.open()
        let job = Samples.job()
        _ = try await store.accept(job)
        guard case .recorded = try await store.terminal(Samples.completed(), of: job.id) else {
            return #expect(Bool(false), "the first is recorded")
        }
        let late = JobEvent.cancelled(Cancellation(reason: .client, billed: .yes))
        for round in 0..<2 {
            guard case .superseded(.completed(let winner)) = try await store.terminal(late, of: job.id) else {
                return #expect(Bool(false), "the first stays, round \(round)")
            }
            #expect(winner.cost == 0.125)
            store.record(.image(Samples.image(5)), of: job.id, at: Samples.now)
            store.record(.progress(JobProgress(stage: .queued, progress: 1, message: "x")), of: job.id, at: Samples.now)
            store.record(.usage(Usage(totalTokens: 77)), of: job.id, at: Samples.now)
            store.record(.cancelOutcome("done"), of: job.id, at: Samples.now)
            await store.close()
            store = try fixture.open()
            let stored = try #require(try await store.job(job.id))
            #expect(stored.stage == .completed && stored.progress == 100 && stored.finishedAt == Samples.now)
            #expect(stored.images.isEmpty && stored.usage == nil && stored.cancelOutcome == "done")
            #expect(
                String(reflecting: stored.terminal) == String(reflecting: Optional(Samples.completed(winner.images))))
        }
        await expectFailure(.notFound) { try await store.terminal(late, of: JobID()) }
        await expectFailure(.internal) { try await store.terminal(.textDelta("x"), of: job.id) }
        await fixture.end(store)
    }

    @Test(arguments: [true, false]) func concurrentTerminalsHaveOneWinner(_ completesFirst: Bool) async throws {
        try await StoreFixture.with { store, _ in
            let job = Samples.job()
            _ = try await store.accept(job)
            let cancelled = JobEvent.cancelled(Cancellation(reason: .client, billed: .maybe))
            let winners = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<40 {
                    let event = (number % 2 == 0) == completesFirst ? Samples.completed() : cancelled
                    group.addTask {
                        if case .recorded = try await store.terminal(event, of: job.id) { true } else { false }
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(winners == 1)
        }
    }

    @Test func epochsRiseAndBeginAboveTheOlderCounter() async throws {
        let fixture = try StoreFixture()
        var epochs: [UInt32] = []
        for older in [41, 41, 7, 100] as [UInt32] {
            let store = try fixture.open { $0.olderEpoch = older }
            epochs.append(store.epoch)
            await store.close()
        }
        #expect(epochs == [42, 43, 44, 101])
        #expect(throws: SQLiteStoreError.self) { try fixture.open { $0.olderEpoch = .max } }
        await fixture.end(try fixture.open())
    }

    @Test func unfinishedJobsComeInOrderByPages() async throws {
        try await StoreFixture.with { store, _ in
            let jobs = (0..<25).map { Samples.job(at: Timestamp(milliseconds: Int64(1000 - $0))) }
            for job in jobs { _ = try await store.accept(job) }
            for job in jobs[5..<10] { try await store.terminal(Samples.completed(), of: job.id) }
            var found: [JobID] = []
            var cursor: UnfinishedCursor?
            var pages = 0
            repeat {
                let page = try await store.unfinished(after: cursor, limit: 7)
                found += page.jobs.map(\.id)
                cursor = page.next
                pages += 1
            } while cursor != nil
            #expect(found == (jobs[..<5] + jobs[10...]).map(\.id))
            #expect(pages == 3)
        }
    }

    @Test func onlyFinishedJobsAreDeleted() async throws {
        try await StoreFixture.with { store, _ in
            let (done, running) = (Samples.job(), Samples.job())
            for job in [done, running] { _ = try await store.accept(job) }
            let image = Samples.image(0)
            store.record(.image(image), of: done.id, at: Samples.now)
            try await store.terminal(Samples.completed([image]), of: done.id)
            #expect(try await store.delete([done.id, running.id, JobID()]) == [image.imageID])
            #expect(try await store.job(done.id) == nil)
            #expect(try await store.owner(of: image.imageID) == nil)
            #expect(try await store.job(running.id) != nil)
        }
    }

    @Test func aClosedStoreRefuses() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        await store.close()
        await expectFailure(.draining) { _ = try await store.accept(Samples.job()) }
        await expectFailure(.storageUnavailable) { _ = try await store.job(JobID()) }
        await store.close()
        await fixture.end(store)
    }

    @Test func whatRidesAlongIsWrittenBeforeTheEnd() async throws {
        let fixture = try StoreFixture()
        var store = try fixture.open()
        let job = Samples.job()
        _ = try await store.accept(job)
        store.terminal(Samples.completed(), of: job.id, at: Samples.now, completed: nil)
        await store.close()
        store = try fixture.open()
        #expect(try await store.job(job.id)?.terminal != nil)
        await fixture.end(store)
    }
}
