/// Where a queued job stands at a given age. Pure: the age alone decides.
struct StagesTimeline: Sendable {
    enum Stage: String, Sendable {
        case queued, processing, generating, uploading, completed, error
    }

    struct State: Equatable, Sendable {
        var stage: Stage
        /// 0…100
        var progress: Int
        /// Requests ahead; only while queued.
        var position: Int?

        var isTerminal: Bool { self.stage == .completed || self.stage == .error }
    }

    private let queue: Int64
    private let duration: Int64
    private let position: Int64
    private let breaks: Bool
    /// Nothing changes from half time on.
    let stalls: Bool

    init(_ script: SimulatorScript) {
        self.queue = script.queue.milliseconds
        self.duration = script.duration.milliseconds
        self.position = Int64(script.position)
        self.breaks = script.fail != nil || script.refuse == .stream
        switch script.stall {
        case .afterPreview, .mid: self.stalls = true
        case .head, nil: self.stalls = false
        }
    }

    /// Age in milliseconds at which the job is over.
    var end: Int64 { self.queue + (self.breaks ? self.duration / 2 : self.duration) }
    var workBegins: Int64 { self.queue }

    func state(at age: Int64) -> State {
        let half = self.queue + self.duration / 2
        // One millisecond short of the moment, where a job without duration would be over.
        let age = self.stalls ? min(age, half - 1) : age
        guard age >= self.queue else {
            let left = self.queue > 0 ? (self.position * (self.queue - max(0, age)) + self.queue - 1) / self.queue : 0
            return State(stage: .queued, progress: 0, position: Int(left))
        }
        if age >= self.end {
            return self.breaks ? State(stage: .error, progress: 50) : State(stage: .completed, progress: 100)
        }
        let share = (age - self.queue) * 100 / max(1, self.duration)
        if share < 5 { return State(stage: .processing, progress: 5) }
        if share < 90 { return State(stage: .generating, progress: Int(10 + (share - 5) * 80 / 85)) }
        return State(stage: .uploading, progress: 92)
    }

    /// Ages at which something is worth telling, ascending, from 0 to the end.
    var moments: [Int64] {
        var moments: Set<Int64> = [0, self.queue, self.end]
        for place in 0..<min(self.position, 20) { moments.insert(self.queue * place / max(1, min(self.position, 20))) }
        for share in [5, 15, 25, 35, 45, 55, 65, 75, 85, 90] as [Int64] {
            moments.insert(self.queue + (self.duration * share + 99) / 100)
        }
        let last = self.stalls ? self.queue + self.duration / 2 : self.end
        return moments.filter { $0 <= last }.sorted()
    }
}
