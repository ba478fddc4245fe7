import Foundation
import GRDB
import ImageGeneration
import Logging
import ServiceLifecycle
import Storage
import Synchronization
import Testing

@testable import SQLiteStorage

@Suite struct RetentionTests {
    private let end = Samples.now.advanced(byMilliseconds: 3_600_000)

    private func sweeper(
        _ store: SQLiteJobStore, drop: @escaping RetentionSweeper.DropImages
    ) -> RetentionSweeper {
        RetentionSweeper(
            store: store, retention: .seconds(3600), clock: ContinuousClock(), now: { [end] in end }, dropImages: drop)
    }

    @Test func jobsGoInBatchesWithTheirPictures() async throws {
        try await StoreFixture.with { store, _ in
            var expected: [ImageID] = []
            for number in 0..<230 {
                let job = Samples.job()
                _ = try await store.accept(job)
                let image = Samples.image(0)
                store.record(.image(image), of: job.id, at: Samples.now)
                // The last ten end just when the retention begins.
                let at = Samples.now.advanced(byMilliseconds: number < 220 ? -1 : 0)
                try await store.terminal(Samples.completed([image]), of: job.id, at: at)
                if number < 220 { expected.append(image.imageID) }
            }
            let running = Samples.job()
            _ = try await store.accept(running)
            let batches = Mutex<[[ImageID]]>([])
            let count = try await self.sweeper(store) { images in batches.withLock { $0.append(images) } }.sweep()
            #expect(count == 220)
            #expect(batches.withLock { $0.map(\.count) } == [100, 100, 20])
            #expect(Set(batches.withLock { $0.flatMap(\.self) }) == Set(expected))
            let left = try await store.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM job") }
            let images = try await store.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM image") }
            #expect(left == 11 && images == 10)
            #expect(try await store.job(running.id) != nil)
            #expect(try await self.sweeper(store) { _ in }.sweep() == 0)
        }
    }

    @Test func jobsStayWhilePicturesOrWebhooksCannotGo() async throws {
        try await StoreFixture.with { store, _ in
            let (pictured, owing) = (Samples.job(), Samples.job(notify: "app"))
            for job in [pictured, owing] { _ = try await store.accept(job) }
            store.record(.image(Samples.image(0)), of: pictured.id, at: Samples.now)
            let long = Samples.now.advanced(byMilliseconds: -1)
            try await store.terminal(Samples.completed(), of: pictured.id, at: long)
            try await store.terminal(Samples.completed(), of: owing.id, at: long)
            await #expect(throws: GatewayError.self) {
                try await self.sweeper(store) { _ in throw GatewayError(.storageUnavailable, "no") }.sweep()
            }
            #expect(try await store.job(pictured.id) != nil)
            #expect(try await self.sweeper(store) { _ in }.sweep() == 1)
            #expect(try await store.job(pictured.id) == nil)
            #expect(try await store.job(owing.id) != nil)
            let claimed = try await store.claimDue(to: "app", at: Samples.now, leaseMilliseconds: 1000, limit: 10)
            #expect(claimed.map(\.message.job) == [owing.id])
            let message = try #require(claimed.first?.message.id)
            let attempt = WebhookAttempt(number: 1, at: Samples.now, status: 200)
            #expect(try await store.record(attempt, of: message, fate: .delivered))
            #expect(try await self.sweeper(store) { _ in }.sweep() == 1)
            #expect(try await store.deliveries(DeliveryQuery()).isEmpty)
        }
    }

    @Test func forgottenPromptsAreGoneFromTheFiles() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open { $0.keepsPrompts = false }
        let secrets = ["zebra-lamp", "zebra-negative", "zebra-revised"]
        let job = Self.job(secrets)
        _ = try await store.accept(job)
        #expect(try await store.job(job.id)?.request.request.prompt == secrets[0])
        var image = Samples.image(0)
        image.revisedPrompt = secrets[2]
        store.record(.image(image), of: job.id, at: Samples.now)
        try await store.terminal(Samples.completed([image]), of: job.id)
        let stored = try #require(try await store.job(job.id))
        #expect(!stored.request.hasPrompts && stored.request.request.prompt.isEmpty)
        #expect(stored.request.request.negativePrompt == nil && stored.request.request.model == "gpt-image-1")
        #expect(stored.images.first?.revisedPrompt == nil)
        await store.close()
        let bytes = String(decoding: try #require(FileManager.default.contents(atPath: fixture.path)), as: UTF8.self)
        for secret in secrets { #expect(!bytes.contains(secret), Comment(rawValue: secret)) }
        await fixture.end(try fixture.open())
    }

    @Test func keptPromptsStay() async throws {
        try await StoreFixture.with { store, _ in
            let job = Self.job(["a", "b", "c"])
            _ = try await store.accept(job)
            try await store.terminal(Samples.completed(), of: job.id)
            let stored = try #require(try await store.job(job.id))
            #expect(stored.request.hasPrompts && stored.request.request.prompt == "a")
            #expect(stored.request.request.negativePrompt == "b")
        }
    }

    private static func job(_ secrets: [String]) -> AcceptedJob {
        var job = Samples.job(prompt: secrets[0])
        job.request.negativePrompt = secrets[1]
        return job
    }

    @Test func theServiceStopsGracefully() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: store),
                    .init(
                        service: self.sweeper(store) { _ in },
                        successTerminationBehavior: .gracefullyShutdownGroup),
                ], logger: Logger(label: "test")))
        let job = Samples.job()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            _ = try await store.accept(job)
            store.record(.usage(Usage(totalTokens: 3)), of: job.id, at: Samples.now)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        await expectFailure(.draining) { _ = try await store.accept(Samples.job()) }
    }
}
