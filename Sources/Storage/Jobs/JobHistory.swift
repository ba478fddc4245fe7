package import ImageGeneration

/// Asks for jobs, newest first.
package struct HistoryQuery: Sendable {
    package enum Scope: Hashable, Sendable {
        /// Nobody (nil) has no history.
        case principal(String?)
        /// For the operator.
        case everyone
    }

    package var scope: Scope
    /// Empty: all.
    package var stages: Set<Stage>
    /// Names of routes. Empty: all.
    package var routes: Set<String>
    /// Accepted earlier than this.
    package var before: Timestamp?
    /// Accepted at this time or later.
    package var since: Timestamp?
    /// Goes on behind an earlier page.
    package var cursor: HistoryCursor?
    /// 1…100, brought into that range; default 20.
    package var limit: Int

    package init(
        scope: Scope, stages: Set<Stage> = [], routes: Set<String> = [], before: Timestamp? = nil,
        since: Timestamp? = nil,
        cursor: HistoryCursor? = nil, limit: Int = 20
    ) {
        self.scope = scope
        self.stages = stages
        self.routes = routes
        self.before = before
        self.since = since
        self.cursor = cursor
        self.limit = min(max(limit, 1), 100)
    }
}

package struct HistoryPage: Sendable {
    package var jobs: [StoredJob]
    /// Nil: that was all.
    package var next: HistoryCursor?

    package init(jobs: [StoredJob], next: HistoryCursor?) {
        self.jobs = jobs
        self.next = next
    }
}

/// The place of a job in the history: jobs accepted later do not move it. Opaque to clients; it says nothing that the
/// job itself does not, so it needs no signature.
package struct HistoryCursor: Hashable, Comparable, Sendable {
    package let createdAt: Timestamp
    package let job: JobID

    package init(createdAt: Timestamp, job: JobID) {
        self.createdAt = createdAt
        self.job = job
    }

    package static func < (left: Self, right: Self) -> Bool {
        (left.createdAt, left.job.text) < (right.createdAt, right.job.text)
    }

    /// Accepts only the exact form that ``text`` writes; anything else is nil.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count <= 64, let dash = text.firstIndex(of: "-"),
            let job = JobID("job_\(text[text.index(after: dash)...])"), let time = Int64(text[..<dash], radix: 36),
            String(time, radix: 36) == text[..<dash], time >= 0
        else { return nil }
        self.init(createdAt: Timestamp(milliseconds: time), job: job)
    }

    /// Time in base 36, a dash, the id's random part.
    package var text: String {
        "\(String(max(0, self.createdAt.milliseconds), radix: 36))-\(self.job.text.dropFirst(4))"
    }
}
