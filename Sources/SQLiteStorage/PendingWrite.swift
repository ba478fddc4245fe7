import GRDB
import ImageGeneration
import Storage
import Synchronization

/// One write that waits for the next commit.
struct PendingWrite: Sendable {
    typealias Committed = @Sendable () -> Void

    /// Roughly, in memory.
    let bytes: Int
    /// Tells of what has happened already, so it is tried again where the fault may mend.
    let isFact: Bool
    /// How long it may wait for company: the earliest end of all that wait takes all of them.
    let patience: Duration
    /// A later write of the same slot replaces this one; until its patience ends, others commit without it.
    var slot: Slot?
    /// The job whose end it is: what rides along of that job is written before it.
    var ends: JobID?
    /// Runs on the writer's thread, in the group's transaction, and where one of the group fails once more, in a savepoint of its own.
    /// What it returns is called once the group is durable.
    let apply: @Sendable (Database) throws -> Committed
    /// Called at most once and never after `Committed`.
    let fail: @Sendable (GatewayError) -> Void

    struct Slot: Hashable, Sendable {
        enum Kind: CaseIterable, Hashable, Sendable { case progress, usage, cancelOutcome }
        let job: JobID
        let kind: Kind
    }
}

extension PendingWrite {
    /// Of a submission: the upstream takes thousands of times as long.
    static let submissionPatience = Duration.milliseconds(4)
    /// Of a job's end, which a client waits for.
    static let endPatience = Duration.milliseconds(8)
    /// Of what nobody waits for.
    static let unawaited = Duration.milliseconds(100)

    /// - Parameters:
    ///   - then: called once it is durable, also when `completed` was told of a failure before.
    ///   - body: the write; its value is what `completed` is told.
    init<Value: Sendable>(
        bytes: Int, isFact: Bool = false, patience: Duration = .zero, slot: Slot? = nil, ends: JobID? = nil,
        completed: StoreCompletion<Value>?, then: (@Sendable (Value) -> Void)? = nil,
        body: @escaping @Sendable (Database) throws -> Value
    ) {
        let answer = Answer(completed)
        self.bytes = bytes + 256
        self.isFact = isFact
        self.patience = patience
        self.slot = slot
        self.ends = ends
        self.apply = { db in
            let value = try body(db)
            return {
                then?(value)
                answer.give(.success(value))
            }
        }
        self.fail = { answer.give(.failure($0)) }
    }
}

/// Tells its outcome once, however often it is given one: a fact that is written in the end was reported as failed
/// before.
private final class Answer<Value: Sendable>: Sendable {
    private let completed: Mutex<StoreCompletion<Value>?>

    init(_ completed: StoreCompletion<Value>?) { self.completed = Mutex(completed) }

    func give(_ result: Result<Value, GatewayError>) {
        let completed = self.completed.withLock { $0.take() }
        completed?(result)
    }
}
