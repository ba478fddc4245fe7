package import ImageGeneration
package import Storage

extension JobSupervisor {
    package struct HistoryPage: Sendable {
        /// Newest first.
        package let jobs: [JobView]
        /// Nil: that was all.
        package let next: HistoryCursor?
    }

    /// A principal's jobs: all that the store knows, else those of this process. Nobody has none. Of everybody, without a store, those
    /// that run.
    /// - Throws: `storage_unavailable`.
    package func history(_ query: HistoryQuery) async throws(GatewayError) -> HistoryPage {
        if case .principal(nil) = query.scope { return HistoryPage(jobs: [], next: nil) }
        // What runs here has gone further than the store was told.
        func isWanted(_ job: JobView) -> Bool {
            (query.stages.isEmpty || query.stages.contains(job.log.standing.stage))
                && (query.routes.isEmpty || query.routes.contains(job.route))
        }
        guard let store = self.store else {
            if case .principal(let owner?) = query.scope {
                return self.directory.history(of: owner, after: query.cursor, limit: query.limit, where: isWanted)
            }
            let running = self.directory.running.map { JobView($0) }.filter(isWanted)
            let newest = running.sorted { $0.createdAt > $1.createdAt }.prefix(query.limit)
            return HistoryPage(jobs: Array(newest), next: nil)
        }
        let page = try await store.history(query)
        let jobs = page.jobs.map { self.directory.find($0.id) ?? JobView(JobRecord($0, epoch: self.epoch)) }
        return HistoryPage(jobs: jobs.filter(isWanted), next: page.next)
    }
}
