import HTTPTypes
import NIOCore
import StreamCodecs

/// What the queued services share: a job's id holds the job, and only cancellations are remembered.
struct QueuedJobs: Sendable {
    private let defaults: SimulatorScript
    private let cancelled = CancelledJobs(capacity: 10_000)

    init(defaults: SimulatorScript) { self.defaults = defaults }

    /// What a submission asks for.
    struct Order {
        var prompt: String
        var width = 1024
        var height = 1024
        /// 1…10
        var count = 1
        var seed: UInt64?
    }

    /// A job and how it stands as one call finds it.
    struct Standing: Sendable {
        let job: StagesJob
        let id: String
        /// In milliseconds.
        let age: Int64
        let state: StagesTimeline.State
        let isCancelled: Bool

        var isOver: Bool { self.state.isTerminal || self.isCancelled }
        var hasFailed: Bool { self.state.stage == .error }

        /// Names of the finished pictures' files.
        var files: [String] {
            (0..<self.job.count).map {
                ImageID(picture: self.job.picture.sibling($0), payload: self.job.script.payload).text + ".png"
            }
        }
    }

    func accept(_ order: Order, _ request: SimulatorRequest) throws(SimulatorError) -> Standing {
        let (script, prompt) = try request.script(over: self.defaults, prompt: order.prompt)
        try StatusFault.check(script, openAI: false)
        var subject = FNV1a()
        subject.combine(prompt.utf8)
        let picture = Picture(
            key: Picture.key(subject: subject.value, seed: script.seed ?? order.seed ?? 0), width: order.width,
            height: order.height)
        let job = StagesJob(
            start: request.visit.now, nonce: UInt32.random(in: .min ... .max), picture: picture, count: order.count,
            isDraft: false, script: script)
        return self.standing(job, id: job.id, request)
    }

    /// With what this very request asks of the simulator on top. Nil: no such job.
    func find(_ id: String, _ request: SimulatorRequest) throws(SimulatorError) -> Standing? {
        guard var job = StagesJob(id: id) else { return nil }
        job.script = try request.script(over: job.script)
        try StatusFault.check(job.script, openAI: false)
        return self.standing(job, id: id, request)
    }

    /// The first terminal state wins. False: the job was over.
    func cancel(_ standing: Standing) -> Bool {
        guard !standing.isOver else { return false }
        self.cancelled.insert(standing.id)
        return true
    }

    func isCancelled(_ id: String) -> Bool { self.cancelled.contains(id) }

    /// The job as it stands now, in the course of a stream.
    func now(_ standing: Standing, _ visit: Visit, atLeast moment: Int64) -> Standing {
        self.standing(standing.job, id: standing.id, age: max(visit.now - standing.job.start, moment))
    }

    private func standing(_ job: StagesJob, id: String, _ request: SimulatorRequest) -> Standing {
        self.standing(job, id: id, age: request.visit.now - job.start)
    }

    private func standing(_ job: StagesJob, id: String, age: Int64) -> Standing {
        Standing(
            job: job, id: id, age: age, state: StagesTimeline(job.script).state(at: age),
            isCancelled: self.cancelled.contains(id))
    }
}

// MARK: Answers

extension QueuedJobs.Standing {
    /// A submission has only the faults of its own; those of the answers to come are the job's.
    func submissionAnswer(status: Int, _ document: ByteBuffer) -> SimulatorResponse {
        var script = self.job.script
        script.truncate = nil
        script.stall = script.stall == .head ? .head : nil
        return .json(status: status, [document], script: script)
    }

    /// What breaks, breaks in the answer that shows the job over, so that a job gets that far.
    /// - Parameter wrongFields: a document whose fields have wrong types.
    func answer(status: Int = 200, _ document: ByteBuffer, wrongFields: String) -> SimulatorResponse {
        var script = self.job.script
        script.stall = nil
        guard self.state.isTerminal, !self.isCancelled else {
            script.truncate = nil
            script.malformed = script.malformed == .html ? .html : nil
            return .json(status: status, [document], script: script)
        }
        let pieces = MalformedContent.applied(to: [document], script, wrongFields: wrongFields)
        return .json(status: status, pieces, script: script)
    }

    /// Lines as tqdm writes them, for each quarter of the way.
    var logLines: [String] {
        let reached = self.state.stage == .queued ? -1 : self.state.progress
        return [0, 25, 50, 75, 100].filter { $0 <= reached }.map { percent in
            let bar = String(repeating: "#", count: percent / 10).padded(to: 10)
            let steps = 28 * percent / 100
            return
                "\(String(percent).leftPadded(to: 3))%|\(bar)| \(steps)/28 [00:0\(steps / 7)<00:0\(4 - steps / 7),  7.00it/s]"
        }
    }
}

extension String {
    fileprivate func padded(to count: Int) -> String {
        self + String(repeating: " ", count: max(0, count - self.utf8.count))
    }

    fileprivate func leftPadded(to count: Int) -> String {
        String(repeating: " ", count: max(0, count - self.utf8.count)) + self
    }
}

// MARK: Requests

/// The JSON object of a submission, read with FastAPI's complaints.
struct SubmittedFields {
    let root: JSONNode

    init(_ body: ByteBuffer) throws(SimulatorError) {
        do { self.root = try JSONDocument(body, duplicateKeys: .last).root } catch {
            throw SimulatorError(400, "The body is not valid JSON.", code: "invalid_json")
        }
        guard self.root.kind == .object else { throw SimulatorError(422, "The body must be a JSON object.") }
    }

    private init(root: JSONNode) { self.root = root }

    func object(_ key: String) throws(SimulatorError) -> SubmittedFields {
        guard let node = self.root[key], node.kind == .object else { throw Self.invalid(key, "Field required") }
        return SubmittedFields(root: node)
    }

    func prompt() throws(SimulatorError) -> String {
        guard let prompt = self.root["prompt"]?.string, !prompt.isEmpty else {
            throw Self.invalid("prompt", "Field required")
        }
        return prompt
    }

    func text(_ key: String) throws(SimulatorError) -> String? {
        guard let node = self.root[key], !node.isNull else { return nil }
        guard let text = node.string else { throw Self.invalid(key, "Input should be a valid string") }
        return text
    }

    func integer(_ key: String, _ range: ClosedRange<Int64>) throws(SimulatorError) -> Int? {
        guard let node = self.root[key], !node.isNull else { return nil }
        guard let number = node.integer, range.contains(number) else {
            throw Self.invalid(
                key, "Input should be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return Int(number)
    }

    func seed() throws(SimulatorError) -> UInt64? {
        try self.integer("seed", Int64.min...Int64.max).map { UInt64(bitPattern: Int64($0)) }
    }

    /// 422 with the list of faults that FastAPI writes.
    static func invalid(_ key: String, _ message: String, type: String = "value_error") -> SimulatorError {
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("detail")
        writer.beginArray()
        writer.beginObject()
        writer.key("loc")
        writer.beginArray()
        writer.value(staticText: "body")
        writer.value(key)
        writer.endArray()
        writer.field("msg", message)
        writer.field("type", type)
        writer.endObject()
        writer.endArray()
        writer.endObject()
        var error = SimulatorError(422, message)
        error.document = writer.takeBuffer()
        return error
    }
}
