import Dialects
import HTTPTypes
import ImageGeneration
import Storage

/// One page of a caller's jobs, as asked for by `limit`, `cursor` and `status`.
struct JobPage: Sendable {
    private let limit: Int
    private let cursor: HistoryCursor?
    private let stages: Set<Stage>

    private static let statuses = ["queued", "processing", "completed", "failed", "cancelled"]

    /// - Throws: `invalid_parameter`.
    init(_ scope: RequestScope) throws(GatewayError) {
        self.limit = try PageLimit.read(scope.query("limit"))
        if let text = scope.query("cursor") {
            guard let cursor = HistoryCursor(text) else {
                throw GatewayError(
                    .invalidParameter, "cursor must be the next_cursor of an earlier page.", parameter: "cursor")
            }
            self.cursor = cursor
        } else {
            self.cursor = nil
        }
        guard let status = scope.query("status") else {
            self.stages = []
            return
        }
        self.stages = Set(Stage.allCases.filter { $0.statusName == status })
        guard self.stages.isEmpty else { return }
        throw GatewayError(
            .invalidParameter, "status must be one of \(Self.statuses.joined(separator: ", ")).", parameter: "status")
    }

    struct Content: Sendable {
        let jobs: [JobView]
        let next: String?
    }

    /// Newest first; empty for nobody.
    /// - Parameter routes: names; empty for all.
    /// - Throws: `storage_unavailable`.
    func read(
        _ supervisor: JobSupervisor, scope: HistoryQuery.Scope, routes: Set<String> = []
    ) async throws(GatewayError) -> Content {
        let page = try await supervisor.history(
            HistoryQuery(
                scope: scope, stages: self.stages, routes: routes, cursor: self.cursor, limit: self.limit))
        return Content(jobs: page.jobs, next: page.next?.text)
    }
}

extension JobPage.Content {
    /// In the gateway's own form.
    func response(_ supervisor: JobSupervisor, _ live: LiveTable) -> DialectResponse {
        var response = UnifiedSnapshot.response(
            self.jobs.map {
                (supervisor.payloads.snapshot(of: $0), $0.encoderContext(publicURL: live.publicURL))
            }, nextCursor: self.next)
        response.headers[.cacheControl] = "no-store"
        return response
    }
}

/// How much a list may show at once.
enum PageLimit {
    /// 20 where nothing is asked for.
    /// - Throws: `invalid_parameter`.
    static func read(_ text: String?) throws(GatewayError) -> Int {
        guard let text else { return 20 }
        guard text.utf8.count <= 3, let limit = Int(text), (1...100).contains(limit) else {
            throw GatewayError(.invalidParameter, "limit must be 1 to 100.", parameter: "limit")
        }
        return limit
    }
}
