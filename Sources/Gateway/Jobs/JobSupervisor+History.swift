package import ImageGeneration
package import Storage

extension JobSupervisor {
    package struct HistoryPage: Sendable {
        /// Newest first.
        package let jobs: [JobView]
        /// Nil: that was all.
        package let next: HistoryCursor?
    }

    /// A principal's jobs: all that the store knows, else those of this process. Nobody has none.
    /// - Throws: `storage_unavailable`.
    package func history(_ query: HistoryQuery) async throws(GatewayError) -> HistoryPage {
        guard case .principal(let owner?) = query.scope else { return HistoryPage(jobs: [], next: nil) }
        // What runs here has gone further than the store was told.
        func isWanted(_ job: JobView) -> Bool {
            (query.stages.isEmpty || query.stages.contains(job.log.standing.stage))
                && (query.routes.isEmpty || query.routes.contains(job.route))
        }
        guard let store = self.store else {
            return self.directory.history(of: owner, after: query.cursor, limit: query.limit, where: isWanted)
        }
        let page = try await store.history(query)
        let jobs = page.jobs.map { self.directory.find($0.id) ?? JobView(JobRecord($0, epoch: self.epoch)) }
        return HistoryPage(jobs: jobs.filter(isWanted), next: page.next)
    }
}
