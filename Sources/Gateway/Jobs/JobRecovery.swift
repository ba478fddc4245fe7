import ImageGeneration
import Logging
import Storage

/// Takes up what an earlier process left unfinished. Run once, before the listeners open, so that nobody meets a job halfway.
///
/// - Never submitted: runs as if it had just been accepted.
/// - Submitted, and the upstream's name for it is known: followed to its end.
/// - Submitted, and nothing is known of it: it may have been billed, so it is not submitted again but ends as `interrupted`.
struct JobRecovery: Sendable {
    let store: any JobStore
    let supervisor: JobSupervisor
    let live: LiveTable
    let now: @Sendable () -> Timestamp
    let logger: Logger

    private enum Outcome { case begunAgain, pickedUp, ended }

    private static let batch = 100

    /// - Throws: `storage_unavailable` when the store cannot be read.
    func run() async throws(GatewayError) {
        var counts: [Outcome: Int] = [:]
        var cursor: UnfinishedCursor?
        repeat {
            let page = try await self.store.unfinished(after: cursor, limit: Self.batch)
            for job in page.jobs { counts[await self.take(job), default: 0] += 1 }
            cursor = page.next
        } while cursor != nil
        guard !counts.isEmpty else { return }
        self.logger.warning(
            "jobs of an earlier run taken up",
            metadata: [
                "begun_again": "\(counts[.begunAgain] ?? 0)", "picked_up": "\(counts[.pickedUp] ?? 0)",
                "interrupted": "\(counts[.ended] ?? 0)",
            ])
    }

    private func take(_ stored: StoredJob) async -> Outcome {
        do {
            return try await self.goOn(with: stored)
        } catch {
            self.store.terminal(.error(error), of: stored.id, at: self.now(), webhooks: [], completed: nil)
            return .ended
        }
    }

    private func goOn(with stored: StoredJob) async throws(GatewayError) -> Outcome {
        let mayBeBilled: GatewayError.Billed = stored.submissions.isEmpty ? .no : .maybe
        guard var plan = self.plan(stored) else {
            throw GatewayError(
                .upstreamRemoved, "The job's upstream is no longer configured.", billed: mayBeBilled)
        }
        guard let submission = stored.submissions.first else {
            plan.request = try await self.store.request(of: stored)
            plan.uploads = self.supervisor.budget.leaseAlways(plan.request.pictureBytes)
            try self.supervisor.beginAgain(stored, plan)
            return .begunAgain
        }
        let kept = await self.supervisor.keptImages(of: stored, plan)
        guard stored.submissions.count == 1, let handle = submission.handle,
            try self.supervisor.pickUp(stored, plan, handle: handle, kept: kept)
        else {
            throw GatewayError(
                .interrupted, "The gateway was restarted while the upstream worked.", billed: mayBeBilled)
        }
        return .pickedUp
    }

    /// With the terms of the route as it is now. Nil when the route or its upstream is gone.
    private func plan(_ stored: StoredJob) -> JobPlan? {
        guard let route = self.live.table.routes.first(where: { $0.name == stored.route }),
            let entry = route.upstreams.first(where: { $0.upstream.name == stored.upstream }),
            let target = self.live.target(entry)
        else { return nil }
        return JobPlan(
            route: route.name, request: stored.request.request, upstream: target, delivery: route.delivery,
            disconnect: route.onDisconnect, timeouts: entry.timeouts)
    }
}
