package import ImageGeneration
import ServiceLifecycle

/// Forgets jobs whose time has come, with their pictures, and idempotency keys that are no longer valid. Works in small
/// batches, so that acceptances pass between them.
package struct RetentionSweeper: Service {
    /// Pictures go before the record that names them, so that a crash in between leaves nothing that nobody knows of.
    package typealias DropImages = @Sendable ([ImageID]) async throws -> Void

    private let store: any JobStore
    private let retentionMilliseconds: Int64
    private let clock: any Clock<Duration>
    private let now: @Sendable () -> Timestamp
    private let dropImages: DropImages

    /// Jobs in one transaction.
    private static let batch = 100

    /// - Parameters:
    ///   - retention: how long a job is kept after its end.
    ///   - dropImages: removes pictures from the image store, also ones that are gone already. When it throws, their jobs
    ///     stay until the next round.
    package init(
        store: any JobStore, retention: Duration, clock: any Clock<Duration>,
        now: @escaping @Sendable () -> Timestamp, dropImages: @escaping DropImages
    ) {
        self.store = store
        self.retentionMilliseconds = retention.components.seconds * 1000
        self.clock = clock
        self.now = now
        self.dropImages = dropImages
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await self.clock.sleep(for: self.interval)) != nil {
                // What fails now is tried again in the next round; the store itself tells its operator.
                _ = try? await self.sweep()
            }
        }
    }

    /// A minute; less where jobs are kept for less than ten.
    private var interval: Duration {
        .milliseconds(min(60_000, max(1000, self.retentionMilliseconds / 10)))
    }

    /// One round: all that is due.
    /// - Returns: how many jobs were forgotten.
    @discardableResult
    package func sweep() async throws -> Int {
        let due = self.now().advanced(byMilliseconds: -self.retentionMilliseconds)
        var count = 0
        while !Task.isCancelled {
            let jobs = try await self.store.expired(finishedBefore: due, limit: Self.batch)
            let images = jobs.flatMap(\.images)
            if !images.isEmpty { try await self.dropImages(images) }
            if !jobs.isEmpty { _ = try await self.store.delete(jobs.map(\.id)) }
            count += jobs.count
            guard jobs.count == Self.batch else { break }
        }
        while try await self.store.forgetKeys(expiredAt: self.now(), limit: Self.batch) == Self.batch {
            try Task.checkCancellation()
        }
        return count
    }
}
