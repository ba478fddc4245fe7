import Dialects
import ImageGeneration

/// One page of a caller's jobs, as asked for by `limit`, `cursor` and `status`.
struct JobPage: Sendable {
    private let limit: Int
    private let cursor: JobHistory.Cursor?
    private let status: String?

    private static let statuses = ["queued", "processing", "completed", "failed", "cancelled"]

    /// - Throws: `invalid_parameter`.
    init(_ scope: RequestScope) throws(GatewayError) {
        self.limit = try Self.limit(scope.query("limit"))
        if let text = scope.query("cursor") {
            guard let cursor = JobHistory.Cursor(text) else {
                throw GatewayError(
                    .invalidParameter, "cursor must be the next_cursor of an earlier page.", parameter: "cursor")
            }
            self.cursor = cursor
        } else {
            self.cursor = nil
        }
        self.status = scope.query("status")
        guard let status = self.status, !Self.statuses.contains(status) else { return }
        throw GatewayError(
            .invalidParameter, "status must be one of \(Self.statuses.joined(separator: ", ")).", parameter: "status")
    }

    private static func limit(_ text: String?) throws(GatewayError) -> Int {
        guard let text else { return 20 }
        guard text.utf8.count <= 3, let limit = Int(text), (1...100).contains(limit) else {
            throw GatewayError(.invalidParameter, "limit must be 1 to 100.", parameter: "limit")
        }
        return limit
    }

    /// Newest first; empty for nobody.
    func read(
        _ directory: JobDirectory, _ caller: Caller, where isWanted: (JobView) -> Bool = { _ in true }
    ) -> (jobs: [JobView], next: String?) {
        guard let owner = caller.owner else { return ([], nil) }
        let page = directory.history(of: owner, after: self.cursor, limit: self.limit) { job in
            isWanted(job) && (self.status == nil || self.status == job.snapshot.statusName)
        }
        return (page.jobs, page.next?.text)
    }
}
