import ImageGeneration
import Logging
package import ServiceLifecycle
package import Storage

/// The job store as the composition root opened it.
package struct JobStorage: Sendable {
    package let store: any JobStore
    /// What jobs' ends owe to webhooks.
    package let outbox: any WebhookOutbox
    /// Who may call.
    package let tokens: any TokenStore
    /// Writes until it is told to stop; the last to be.
    package let service: any Service
    /// Whether jobs can be stored now.
    package let isWritable: @Sendable () -> Bool

    package init(
        store: any JobStore, outbox: any WebhookOutbox, tokens: any TokenStore, service: any Service,
        isWritable: @escaping @Sendable () -> Bool
    ) {
        self.store = store
        self.outbox = outbox
        self.tokens = tokens
        self.service = service
        self.isWritable = isWritable
    }

    /// Forgets jobs whose retention is over, their pictures with them, and pictures that no job names any more.
    func sweepers(
        _ retention: Duration, images: ImageStorage?, clock: any Clock<Duration>,
        now: @escaping @Sendable () -> Timestamp
    ) -> [any Service] {
        let pictures = images?.store
        let jobs = RetentionSweeper(store: self.store, retention: retention, clock: clock, now: now) { ids in
            for id in ids { _ = try await pictures?.remove(id) }
        }
        guard let pictures else { return [jobs] }
        // A picture is older than the end of its job; what is left over an hour later has no job.
        let orphans = ImageSweeper(
            store: pictures, retention: { retention + .seconds(24 * 3600) }, now: now, clock: clock)
        return [jobs, orphans]
    }
}

/// Whose pictures are whose, by the jobs they came from.
struct StoredImageOwners: ImageOwners {
    let store: any JobStore

    func owner(of id: ImageID) async throws -> String? { try await self.store.owner(of: id)?.principal }
}
