import Synchronization

/// The tasks of one server, which works on them one at a time in the order they came.
final class WebUITasks: Sendable {
    struct Task: Sendable {
        let id: String
        let job: WebUIJob
        /// Unix milliseconds; nil while it waits.
        var began: Int64?
        var isInterrupted = false
    }

    private struct State {
        var tasks: [Task] = []
        var done: [String] = []
        /// Of the task that ended last.
        var wasInterrupted = false
    }

    private let state = Mutex(State())
    /// Finished tasks that are remembered.
    private static let capacity = 1000

    /// False where the server has a task of this id.
    func add(_ id: String, _ job: WebUIJob) -> Bool {
        self.state.withLock { state in
            guard !state.tasks.contains(where: { $0.id == id }) else { return false }
            state.tasks.append(Task(id: id, job: job))
            return true
        }
    }

    /// Begins the task if it is its turn.
    func begins(_ id: String, now: Int64) -> Bool {
        self.state.withLock { state in
            guard state.tasks.first?.id == id else { return false }
            if state.tasks[0].began == nil {
                state.tasks[0].began = now
                state.wasInterrupted = false
            }
            return true
        }
    }

    func isInterrupted(_ id: String) -> Bool {
        self.state.withLock { state in state.tasks.first { $0.id == id }?.isInterrupted ?? true }
    }

    func remove(_ id: String) {
        self.state.withLock { state in
            guard let index = state.tasks.firstIndex(where: { $0.id == id }) else { return }
            let task = state.tasks.remove(at: index)
            if task.began != nil { state.wasInterrupted = task.isInterrupted }
            state.done.append(id)
            if state.done.count > Self.capacity { state.done.removeFirst() }
        }
    }

    /// Whatever runs stops; nothing else does.
    func interrupt() {
        self.state.withLock { state in
            if state.tasks.first?.began != nil { state.tasks[0].isInterrupted = true }
        }
    }

    /// The task that runs, and whether the last one was interrupted.
    var running: (task: Task?, wasInterrupted: Bool) {
        self.state.withLock { state in
            let first = state.tasks.first.flatMap { $0.began == nil ? nil : $0 }
            return (first, first?.isInterrupted ?? state.wasInterrupted)
        }
    }

    enum Standing {
        case running(Task)
        /// Place among the waiting, from 1, and how many wait.
        case queued(Int, of: Int)
        case done
        case unknown
    }

    func standing(of id: String) -> Standing {
        self.state.withLock { state in
            if state.done.contains(id) { return .done }
            guard let index = state.tasks.firstIndex(where: { $0.id == id }) else { return .unknown }
            if state.tasks[index].began != nil { return .running(state.tasks[index]) }
            let waiting = state.tasks.filter { $0.began == nil }
            return .queued((waiting.firstIndex { $0.id == id } ?? 0) + 1, of: waiting.count)
        }
    }
}
