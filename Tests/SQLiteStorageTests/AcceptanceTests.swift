import Foundation
import GRDB
import ImageGeneration
import NIOCore
import Storage
import Synchronization
import Testing

@testable import SQLiteStorage

@Suite struct AcceptanceTests {
    @Test func acceptancesThatWaitShareACommit() async throws {
        try await StoreFixture.with { store, fixture in
            fixture.commits.closeGate()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await store.accept(Samples.job()) }
                await fixture.commits.waitUntilHeld()
                for _ in 0..<200 { group.addTask { _ = try await store.accept(Samples.job()) } }
                await store.waitForWaiting(200)
                fixture.commits.openGate()
                try await group.waitForAll()
            }
            #expect(fixture.commits.sizes == [1, 200])
            let page = try await store.unfinished(after: nil, limit: 1000)
            #expect(page.jobs.count == 201)
        }
    }

    @Test func aWriteThatFailsFailsAlone() async throws {
        try await StoreFixture.with { store, fixture in
            let taken = Samples.job()
            fixture.commits.closeGate()
            let codes = try await withThrowingTaskGroup(of: GatewayError.Code?.self) { group in
                group.addTask { await .of { _ = try await store.accept(taken) } }
                await fixture.commits.waitUntilHeld()
                for number in 0..<20 {
                    let job = number % 4 == 0 ? taken : Samples.job()
                    group.addTask { await .of { _ = try await store.accept(job) } }
                }
                await store.waitForWaiting(20)
                fixture.commits.openGate()
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(codes.filter { $0 == nil }.count == 16)
            #expect(codes.filter { $0 == .internal }.count == 5)
            #expect(fixture.commits.sizes == [1, 15])
        }
    }

    @Test func tooMuchIsRefusedAtOnce() async throws {
        try await StoreFixture.with({ $0.waitingWrites = 8 }) { store, fixture in
            fixture.commits.closeGate()
            let codes = try await withThrowingTaskGroup(of: GatewayError.Code?.self) { group in
                group.addTask { await .of { _ = try await store.accept(Samples.job()) } }
                await fixture.commits.waitUntilHeld()
                for _ in 0..<20 { group.addTask { await .of { _ = try await store.accept(Samples.job()) } } }
                // The refused ones come back while the writer is held.
                var codes: [GatewayError.Code?] = []
                while codes.count < 12, let code = try await group.next() { codes.append(code) }
                fixture.commits.openGate()
                return try await group.reduce(into: codes) { $0.append($1) }
            }
            #expect(codes.prefix(12).allSatisfy { $0 == .overloaded })
            #expect(codes.dropFirst(12).allSatisfy { $0 == nil })
        }
    }

    @Test func anIdempotencyKeyAnswersWhatItWasUsedFor() async throws {
        try await StoreFixture.with { store, _ in
            let first = Samples.job(key: "k")
            let accepted = try await store.accept(first)
            #expect(accepted == .accepted)
            for (name, job, expected) in Self.uses(after: first.id) {
                let comment = Comment(rawValue: name)
                let acceptance = try await store.accept(job)
                #expect(acceptance == expected, comment)
                let isStored = try await store.job(job.id) != nil
                #expect(isStored == (expected == .accepted), comment)
            }
            let later = Samples.job(at: Samples.now.advanced(byMilliseconds: 86_400_000), key: "k", digest: "d3")
            let again = Samples.job(at: later.createdAt, key: "k", digest: "d3")
            #expect(try await store.accept(later) == .accepted)
            #expect(try await store.accept(again) == .existing(later.id))
        }
    }

    private static func uses(after first: JobID) -> [(String, AcceptedJob, Acceptance)] {
        let end = Samples.now.advanced(byMilliseconds: 86_399_999)
        return [
            ("same request", Samples.job(key: "k"), .existing(first)),
            ("other body", Samples.job(key: "k", digest: "d2"), .otherBody),
            ("other key", Samples.job(key: "K"), .accepted),
            ("other principal", Samples.job(principal: "bob", key: "k"), .accepted),
            ("nobody", Samples.job(principal: nil, key: "k"), .accepted),
            ("nobody elsewhere", Samples.job(principal: nil, address: "192.0.2.2", key: "k"), .accepted),
            ("a principal named like an address", Samples.job(principal: "address:192.0.2.1", key: "k"), .accepted),
            ("just before its end", Samples.job(at: end, key: "k"), .existing(first)),
        ]
    }

    @Test func keysOutliveTheirJobAndAreForgottenInTime() async throws {
        try await StoreFixture.with { store, _ in
            let job = Samples.job(key: "k")
            _ = try await store.accept(job)
            try await store.terminal(Samples.completed(), of: job.id)
            _ = try await store.delete([job.id])
            #expect(try await store.accept(Samples.job(key: "k")) == .existing(job.id))
            for number in 0..<5 { _ = try await store.accept(Samples.job(key: "more\(number)")) }
            let end = Samples.now.advanced(byMilliseconds: 86_400_000)
            #expect(try await store.forgetKeys(expiredAt: end.advanced(byMilliseconds: -1), limit: 4) == 0)
            #expect(try await store.forgetKeys(expiredAt: end, limit: 4) == 4)
            #expect(try await store.forgetKeys(expiredAt: end, limit: 4) == 2)
            #expect(try await store.accept(Samples.job(key: "k")) == .accepted)
        }
    }

    @Test func ofConcurrentUsesOneIsAccepted() async throws {
        try await StoreFixture.with { store, _ in
            for round in 0..<10 {
                let jobs = (0..<40).map { Samples.job(key: "k\(round)", digest: $0 % 8 == 7 ? "other" : "same") }
                let results = try await withThrowingTaskGroup(of: (JobID, Acceptance).self) { group in
                    for job in jobs { group.addTask { (job.id, try await store.accept(job)) } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                let accepted = results.filter { $0.1 == .accepted }.map(\.0)
                #expect(accepted.count == 1)
                let winner = try #require(accepted.first)
                #expect(results.allSatisfy { $0.1 == .accepted || $0.1 == .existing(winner) || $0.1 == .otherBody })
            }
            #expect(try await store.unfinished(after: nil, limit: 1000).jobs.count == 10)
        }
    }

    @Test func aKeyWhoseJobFailsToBeStoredStaysFree() async throws {
        try await StoreFixture.with { store, _ in
            let taken = Samples.job()
            _ = try await store.accept(taken)
            let double = Samples.job(taken.id, key: "k")
            await expectFailure(.internal) { _ = try await store.accept(double) }
            #expect(try await store.accept(Samples.job(key: "k")) == .accepted)
        }
    }
}

@Suite struct UploadTests {
    private func edit(key: String? = nil) -> AcceptedJob {
        var job = Samples.job(key: key)
        job.request.operation = .edit
        job.request.images = [
            InputImage(content: .bytes(ByteBuffer(repeating: 7, count: 300_000)), mediaType: "image/png"),
            InputImage(content: .base64(ByteBuffer(string: "AAAA"))),
        ]
        job.request.mask = InputImage(content: .bytes(ByteBuffer()))
        return job
    }

    private func files(_ fixture: StoreFixture) -> Set<String> {
        let found = FileManager.default.enumerator(atPath: fixture.uploadPath)?.allObjects ?? []
        return Set(found.compactMap { $0 as? String })
    }

    @Test func uploadsAreFilesUntilTheEnd() async throws {
        let fixture = try StoreFixture()
        var store = try fixture.open()
        let job = self.edit()
        _ = try await store.accept(job)
        let id = job.id.text
        #expect(self.files(fixture) == [id, "\(id)/0", "\(id)/1", "\(id)/2"])
        await store.close()

        store = try fixture.open()
        let stored = try #require(try await store.unfinished(after: nil, limit: 10).jobs.first)
        #expect(stored.request.uploads == 3)
        let request = try await store.request(of: stored)
        #expect(String(reflecting: request) == String(reflecting: job.request))
        try await store.terminal(Samples.completed(), of: job.id)
        try await fixture.waitForFiles()
        #expect(self.files(fixture).isEmpty)
        await fixture.end(store)
    }

    @Test func uploadsOfRefusedJobsGo() async throws {
        try await StoreFixture.with { store, fixture in
            _ = try await store.accept(self.edit(key: "k"))
            let before = self.files(fixture)
            guard case .existing = try await store.accept(self.edit(key: "k")) else {
                return #expect(Bool(false))
            }
            fixture.commits.fail(with: DatabaseError(resultCode: .SQLITE_ERROR))
            await expectFailure(.internal) { _ = try await store.accept(self.edit()) }
            try await fixture.waitForFiles()
            #expect(self.files(fixture) == before)
        }
    }

    @Test func uploadsWithoutAJobAreRemovedAtTheStart() async throws {
        let fixture = try StoreFixture()
        var store = try fixture.open()
        let (running, finished) = (self.edit(), self.edit())
        for job in [running, finished] { _ = try await store.accept(job) }
        await store.close()
        let stray = "\(fixture.uploadPath)/\(JobID().text)"
        let foreign = "\(fixture.uploadPath)/notes"
        for folder in [stray, foreign] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/0.part"))
        }
        store = try fixture.open()
        #expect(!FileManager.default.fileExists(atPath: stray))
        #expect(FileManager.default.fileExists(atPath: foreign))
        #expect(FileManager.default.fileExists(atPath: "\(fixture.uploadPath)/\(running.id.text)/2"))
        try FileManager.default.removeItem(atPath: "\(fixture.uploadPath)/\(finished.id.text)/2")
        let stored = try #require(try await store.job(finished.id))
        await expectFailure(.storageUnavailable) { _ = try await store.request(of: stored) }
        await fixture.end(store)
    }

    @Test func aJobWhoseUploadsCannotBeStoredIsNotAccepted() async throws {
        try await StoreFixture.with { store, fixture in
            try Data([1]).write(to: URL(fileURLWithPath: fixture.uploadPath))
            let job = self.edit()
            await expectFailure(.storageUnavailable) { _ = try await store.accept(job) }
            #expect(try await store.job(job.id) == nil)
        }
    }
}
