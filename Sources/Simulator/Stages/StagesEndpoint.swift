import HTTPTypes
import NIOCore
import Synchronization

/// A queue of jobs that keeps none: every id holds its job. Only cancellations are remembered, the latest of them.
struct StagesEndpoint: Sendable {
    let defaults: SimulatorScript
    let cache: PictureCache
    private let cancelled = CancelledJobs(capacity: 10_000)

    init(defaults: SimulatorScript, cache: PictureCache) {
        self.defaults = defaults
        self.cache = cache
    }

    // MARK: - Submission

    func submit(_ request: SimulatorRequest) throws -> SimulatorResponse {
        let documents = try self.accept(request)
        // Faults of the answers to come are the job's; the submission has only those of its own.
        var script = documents.job.script
        script.truncate = nil
        script.stall = script.stall == .head ? .head : nil
        return .json([documents.accepted()], script: script)
    }

    func submitStream(_ request: SimulatorRequest) throws -> SimulatorResponse {
        self.stream(try self.accept(request))
    }

    private func accept(_ request: SimulatorRequest) throws(SimulatorError) -> StagesDocuments {
        let parameters = try StagesRequest(request.body)
        let (script, prompt) = try request.script(over: self.defaults, prompt: parameters.prompt)
        try StatusFault.check(script, openAI: false)
        if script.refuse == .head {
            var error = SimulatorError(400, StagesDocuments.refusalMessage, code: "moderation_blocked")
            error.script = script
            throw error
        }
        var subject = FNV1a()
        subject.combine(prompt.utf8)
        let picture = Picture(
            key: Picture.key(subject: subject.value, seed: script.seed ?? parameters.seed ?? 0),
            width: parameters.width, height: parameters.height, transparent: parameters.transparent)
        let job = StagesJob(
            start: request.visit.now, nonce: UInt32.random(in: .min ... .max), picture: picture,
            count: parameters.count, isDraft: parameters.isDraft, script: script)
        var documents = self.documents(job, id: job.id, request)
        documents.blogID = parameters.blogID
        documents.blogJobID = parameters.blogJobID
        return documents
    }

    private func documents(_ job: StagesJob, id: String, _ request: SimulatorRequest) -> StagesDocuments {
        StagesDocuments(job: job, id: id, base: request.origin + request.prefix)
    }

    // MARK: - Afterwards

    /// The job of an id, with what this very request asks of the simulator on top.
    private func job(_ id: String, _ request: SimulatorRequest) throws(SimulatorError) -> StagesDocuments {
        guard var job = StagesJob(id: id) else { throw SimulatorError(404, "No such job.", code: "not_found") }
        job.script = try request.script(over: job.script)
        try StatusFault.check(job.script, openAI: false)
        return self.documents(job, id: id, request)
    }

    func status(_ id: String, _ request: SimulatorRequest) throws -> SimulatorResponse {
        let documents = try self.job(id, request)
        let age = request.visit.now - documents.job.start
        let state = StagesTimeline(documents.job.script).state(at: age)
        let cancelled = self.cancelled.contains(id)
        var pieces = [documents.snapshot(state, age: age, cancelled: cancelled)]
        var script = documents.job.script
        if state.isTerminal, !cancelled {
            pieces = MalformedContent.applied(
                to: pieces, script, wrongFields: "{\"job_id\":7,\"status\":\"completed\",\"result\":[]}")
        } else {
            // What breaks, breaks in the last answer, so that a job gets that far.
            script.truncate = nil
            script.malformed = script.malformed == .html ? .html : nil
        }
        script.stall = nil
        return .json(pieces, script: script)
    }

    func events(_ id: String, _ request: SimulatorRequest) throws -> SimulatorResponse {
        self.stream(try self.job(id, request))
    }

    /// The first terminal state wins: a finished job stays finished.
    func cancel(_ id: String, _ request: SimulatorRequest) throws -> SimulatorResponse {
        let documents = try self.job(id, request)
        let age = request.visit.now - documents.job.start
        let state = StagesTimeline(documents.job.script).state(at: age)
        if !state.isTerminal { self.cancelled.insert(id) }
        let body = documents.snapshot(state, age: age, cancelled: self.cancelled.contains(id))
        var script = SimulatorScript()
        script.firstByte = documents.job.script.firstByte
        return .json([body], script: script)
    }

    func image(_ id: String, _ request: SimulatorRequest) async throws -> SimulatorResponse {
        guard let image = ImageID(id) else { throw SimulatorError(404, "No such picture.", code: "not_found") }
        let script = try request.script(over: SimulatorScript())
        try StatusFault.check(script, openAI: false)
        let entry = try await self.cache.entry(image.picture, .finished, paddedTo: script.payload ?? image.payload)
        return SimulatorResponse(
            type: "image/png", headers: [.cacheControl: "public, max-age=31536000, immutable"],
            body: .whole([entry.png]), script: script)
    }

    // MARK: - Events

    private func stream(_ documents: StagesDocuments) -> SimulatorResponse {
        let script = documents.job.script
        return .events(script: script) { stream in
            let timeline = StagesTimeline(script)
            var told: StagesTimeline.State?
            for moment in timeline.moments {
                try await stream.visit.pause(until: documents.job.start + moment)
                let age = stream.visit.now - documents.job.start
                let state = timeline.state(at: max(age, moment))
                if self.cancelled.contains(documents.id) {
                    return try await stream.send([documents.event(state, cancelled: true)], last: true)
                }
                guard state != told else { continue }
                if state.isTerminal {
                    if script.noTerminal { return }
                    return try await stream.send(Self.terminal(documents.event(state), script), last: true)
                }
                try await stream.send([documents.event(state)])
                if told == nil, script.unknownEvent { try await stream.send([Self.unknownEvent(documents.id)]) }
                told = state
            }
            if timeline.stalls { try await stream.visit.stall() }
        }
    }

    private static func terminal(_ frame: ByteBuffer, _ script: SimulatorScript) -> [ByteBuffer] {
        let wrong = "data: {\"stage\":\"completed\",\"progress\":\"all\",\"data\":[]}\n\n"
        let pieces = MalformedContent.applied(to: [frame], script, wrongFields: wrong)
        return script.malformed == .json ? pieces + [ByteBuffer(string: "\n\n")] : pieces
    }

    private static func unknownEvent(_ id: String) -> ByteBuffer {
        ByteBuffer(
            string: "event: simulated_notice\ndata: {\"stage\":\"simulated_notice\",\"progress\":0,"
                + "\"message\":\"no client knows this stage\",\"job_id\":\"\(id)\",\"status\":\"processing\",\"data\":{}}\n\n"
        )
    }
}

/// The latest cancellations.
final class CancelledJobs: Sendable {
    private struct State {
        var ids: Set<String> = []
        var order: [String] = []
        var next = 0
    }

    private let capacity: Int
    private let state = Mutex(State())

    init(capacity: Int) { self.capacity = capacity }

    func contains(_ id: String) -> Bool { self.state.withLock { $0.ids.contains(id) } }

    func insert(_ id: String) {
        self.state.withLock { state in
            guard state.ids.insert(id).inserted else { return }
            if state.order.count < self.capacity { return state.order.append(id) }
            state.ids.remove(state.order[state.next])
            state.order[state.next] = id
            state.next = (state.next + 1) % self.capacity
        }
    }
}
