import Admission
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
    let limits: LimitGate
    let tokens: TokenDirectory
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
            var ends: [(job: JobID, error: GatewayError)] = []
            for job in page.jobs {
                do {
                    counts[try await self.goOn(with: job), default: 0] += 1
                } catch {
                    counts[.ended, default: 0] += 1
                    ends.append((job.id, error))
                }
            }
            await self.end(ends)
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

    /// Waits until the ends are stored, so that whoever asks finds them; a disk that is full keeps nobody waiting.
    private func end(_ ends: [(job: JobID, error: GatewayError)]) async {
        await withTaskGroup(of: Void.self) { group in
            for (job, error) in ends {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        self.store.terminal(.error(error), of: job, at: self.now()) { _ in continuation.resume() }
                    }
                }
            }
        }
    }

    private func goOn(with stored: StoredJob) async throws(GatewayError) -> Outcome {
        let mayBeBilled: GatewayError.Billed = stored.submissions.isEmpty ? .no : .maybe
        guard let route = self.live.table.routes.first(where: { $0.name == stored.route }) else {
            throw Self.removed(mayBeBilled)
        }
        let permits = try await self.permits(of: stored, route)
        guard let attempt = stored.submissions.map(\.submission.attempt).max() else {
            return try await self.beginAgain(stored, route, permits)
        }
        let submissions = stored.submissions.filter { $0.submission.attempt == attempt }
        guard let plan = self.plan(stored, route, upstream: submissions[0].submission.upstream) else {
            throw Self.removed(mayBeBilled)
        }
        let kept = await self.supervisor.keptImages(of: stored, plan)
        // Where several calls make up one job, the newest handle tells of all of them.
        guard let handle = submissions.last(where: { $0.handle != nil })?.handle,
            try self.supervisor.pickUp(stored, plan, handle: handle, kept: kept, charge: permits)
        else {
            throw GatewayError(
                .interrupted, "The gateway was restarted while the upstream worked.", billed: mayBeBilled)
        }
        return .pickedUp
    }

    private func permits(
        of stored: StoredJob, _ route: RouteTable.Route
    ) async throws(GatewayError) -> LimitReceipt? {
        let names = stored.principal.map { self.tokens.limits(of: $0) } ?? []
        return try await self.limits.permits(
            principal: stored.principal, ownRules: names.flatMap { self.live.table.limits[$0] ?? [] }, route: route)
    }

    private func beginAgain(
        _ stored: StoredJob, _ route: RouteTable.Route, _ permits: LimitReceipt?
    ) async throws(GatewayError) -> Outcome {
        let request = try await self.store.request(of: stored)
        var fallbacks = Fallbacks(live: self.live, route: route, request: request)
        let choice = try fallbacks.first(isAccepted: true)
        var plan = JobPlan(
            route: route.name, request: choice.request, upstream: choice.target, dropped: choice.dropped,
            delivery: route.delivery, disconnect: route.onDisconnect, timeouts: choice.timeouts, notify: stored.notify)
        plan.pictureCost = self.live.table.costs.pictureCost(of: request)
        plan.permit = choice.permit
        plan.fallbacks = fallbacks
        plan.uploads = self.supervisor.budget.leaseAlways(plan.request.pictureBytes)
        try self.supervisor.beginAgain(stored, plan, charge: permits)
        return .begunAgain
    }

    private static func removed(_ billed: GatewayError.Billed) -> GatewayError {
        GatewayError(.upstreamRemoved, "The job's upstream is no longer configured.", billed: billed)
    }

    /// With the terms of the route as it is now. Nil when its upstream is gone.
    private func plan(_ stored: StoredJob, _ route: RouteTable.Route, upstream: String) -> JobPlan? {
        guard let entry = route.upstreams.first(where: { $0.upstream.name == upstream }),
            let target = self.live.target(entry)
        else { return nil }
        var plan = JobPlan(
            route: route.name, request: stored.request.request, upstream: target, delivery: route.delivery,
            disconnect: route.onDisconnect, timeouts: entry.timeouts, notify: stored.notify)
        plan.pictureCost = self.live.table.costs.pictureCost(of: stored.request.request)
        plan.permit = target.condition.occupy()
        return plan
    }
}
