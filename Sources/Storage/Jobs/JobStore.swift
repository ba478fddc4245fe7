package import ImageGeneration

/// Told once how a write ended.
package typealias StoreCompletion<Value> = @Sendable (Result<Value, GatewayError>) -> Void

/// Keeps jobs beyond the life of the process: what was accepted, what was asked of whom, how it ended.
///
/// Nothing here assumes one process. Who wins is decided by the store: the first use of an idempotency key, the first
/// `submitting` of an attempt, the first terminal event.
///
/// Operations with `completed` are durable when it is told success. It is called once, from the store's thread, or
/// before the call returns when the store refuses at once. Failures are `GatewayError`s: `overloaded` (too much waits),
/// `storage_full` (mends itself), `storage_unavailable`, `draining` (the store is closed), and what each operation
/// names.
///
/// What tells of something that has happened already (``handle(_:of:attempt:imageIndex:completed:)``,
/// ``record(_:of:at:)``, ``terminal(_:of:at:completed:)``) is kept and written later when the disk is full or
/// the database does not answer, although its `completed` is told of the failure.
package protocol JobStore: Sendable {
    /// The start counter of this process, the high half of every `seq`. No other process that uses the store has the
    /// same.
    var epoch: UInt32 { get }

    /// Makes the job durable, pictures of its request included.
    ///
    /// A key that was used within 24 hours in the same scope is answered from what it was used for; nothing is stored
    /// then.
    func accept(_ job: AcceptedJob) async throws(GatewayError) -> Acceptance

    /// To be awaited before the first byte leaves for the upstream.
    ///
    /// Fails with `conflict` when this attempt at this picture was made already or the job is over, and with
    /// `not_found`.
    func submitting(_ submission: Submission, of job: JobID, completed: @escaping StoreCompletion<Void>)

    /// The upstream's own name of what was submitted, to be awaited before it is asked about. A later handle of the
    /// same attempt replaces the earlier one. Fails with `not_found` when nothing was submitted.
    func handle(
        _ handle: String, of job: JobID, attempt: Int, imageIndex: Int, completed: @escaping StoreCompletion<Void>)

    /// Rides along with the next commit, at the latest after a tenth of a second. Nothing is written once the job is
    /// over.
    func record(_ update: JobUpdate, of job: JobID, at: Timestamp)

    /// Ends the job. The first terminal event wins, also across restarts and processes; a job with a `notify` enqueues
    /// its message in the same transaction. Uploads of the job are removed.
    ///
    /// Fails with `not_found`, and with `internal` for an event that is not terminal.
    func terminal(
        _ event: JobEvent, of job: JobID, at: Timestamp, completed: StoreCompletion<TerminalOutcome>?)

    func job(_ id: JobID) async throws(GatewayError) -> StoredJob?

    /// The request with its pictures, to be run again after a restart.
    /// - Throws: `storage_unavailable` when an upload is gone.
    func request(of job: StoredJob) async throws(GatewayError) -> ImageRequest

    /// The job and principal an image belongs to.
    func owner(of image: ImageID) async throws(GatewayError) -> ImageOwner?

    func history(_ query: HistoryQuery) async throws(GatewayError) -> HistoryPage

    /// Jobs without a terminal event, oldest first: what a restart has to pick up.
    /// - Parameter limit: 1…1,000; each job is held in memory without its uploads.
    func unfinished(after cursor: UnfinishedCursor?, limit: Int) async throws(GatewayError) -> UnfinishedPage

    /// Jobs that ended before `time` and have no webhook left to send, oldest first.
    func expired(finishedBefore time: Timestamp, limit: Int) async throws(GatewayError) -> [ExpiredJob]

    /// Forgets jobs that are over, all that belongs to them included; others are left. Idempotency keys stay.
    /// - Returns: the images of the jobs deleted.
    func delete(_ jobs: [JobID]) async throws(GatewayError) -> [ImageID]

    /// Forgets idempotency keys that are no longer valid at `time`.
    /// - Returns: how many; `limit` when there may be more.
    func forgetKeys(expiredAt time: Timestamp, limit: Int) async throws(GatewayError) -> Int
}

extension JobStore {
    /// For how long an idempotency key is kept, in milliseconds: 24 hours.
    package static var keyLifetimeMilliseconds: Int64 { 86_400_000 }
}

/// A job that is over and may be forgotten.
package struct ExpiredJob: Hashable, Sendable {
    package let id: JobID
    package let images: [ImageID]

    package init(id: JobID, images: [ImageID]) {
        self.id = id
        self.images = images
    }
}

package struct ImageOwner: Hashable, Sendable {
    package let job: JobID
    /// Nil: nobody.
    package let principal: String?

    package init(job: JobID, principal: String?) {
        self.job = job
        self.principal = principal
    }
}
