/// The events of a response in order, each with the age at which it comes. An event's place is its `sequence_number`.
struct ResponsesTimeline: Sendable {
    enum Event: Equatable, Sendable {
        case created, queued, inProgress
        case callAdded, callInProgress, callGenerating, partial(Int), callCompleted, callDone, callRefused
        case messageAdded, partAdded, delta(Int), textDone, partDone, messageDone
        case unknown
        case error, failed, completed
        /// Nothing more comes.
        case silence
    }

    struct Entry: Equatable, Sendable {
        var event: Event
        /// Milliseconds.
        var age: Int64
    }

    /// What the simulated model says beside its picture, or in its place.
    static let words = ["Here", " you", " go."]

    let entries: [Entry]

    init(_ job: ResponsesJob) {
        var entries: [Entry] = []
        func add(_ event: Event, _ age: Int64) { entries.append(Entry(event: event, age: age)) }
        add(.created, 0)
        if job.isBackground { add(.queued, 0) }
        add(.inProgress, job.queue)
        if job.script.unknownEvent { add(.unknown, job.queue) }
        let duration = job.script.duration.milliseconds
        let end = job.queue + duration
        guard job.draws else {
            entries += Self.message(from: job.queue + duration / 2, to: end, job)
            if !job.script.noTerminal { entries.append(Self.terminal(job, at: end)) }
            self.entries = entries
            return
        }
        for event in [Event.callAdded, .callInProgress, .callGenerating] { add(event, job.queue) }
        let shown = job.script.earlyFinal ? min(1, job.previews) : job.previews
        for step in 0..<shown {
            let age = job.queue + duration * Int64(step + 1) / Int64(job.previews + 1)
            add(.partial(step), age)
            if job.script.stall == .afterPreview(step) {
                add(.silence, age)
                self.entries = entries
                return
            }
            if job.fails || job.isRefused { break }
        }
        self.entries = entries + Self.ending(job, at: job.script.earlyFinal ? entries.last?.age ?? end : end)
    }

    private static func ending(_ job: ResponsesJob, at end: Int64) -> [Entry] {
        if case .afterPreview = job.script.stall { return [Entry(event: .silence, age: end)] }
        let half = job.end ?? end
        if job.isRefused {
            return [Entry(event: .callRefused, age: half), Entry(event: .completed, age: half)]
        }
        if job.fails { return [self.terminal(job, at: half)] }
        if job.script.noTerminal { return [] }
        var entries = [Entry(event: .callCompleted, age: end), Entry(event: .callDone, age: end)]
        entries += self.message(from: end, to: end, job)
        entries.append(Entry(event: .completed, age: end))
        return entries
    }

    private static func terminal(_ job: ResponsesJob, at age: Int64) -> Entry {
        guard job.fails else { return Entry(event: .completed, age: age) }
        return Entry(event: job.isBackground ? .failed : .error, age: age)
    }

    private static func message(from start: Int64, to end: Int64, _ job: ResponsesJob) -> [Entry] {
        guard !job.fails else { return [] }
        var events: [Event] = [.messageAdded, .partAdded]
        events += self.words.indices.map { .delta($0) }
        events += [.textDone, .partDone, .messageDone]
        return events.enumerated().map { index, event in
            Entry(event: event, age: start + (end - start) * Int64(index) / Int64(events.count))
        }
    }
}
