import HTTPTypes
import NIOCore
import StreamCodecs

/// The Responses API with its drawing tool: at once, as a stream, or in the background.
///
/// Nothing is kept but the latest cancellations. Model and quality are not in an id: a response that is asked for later says
/// `gpt-simulated` and `medium`.
struct ResponsesEndpoint: Sendable {
    let defaults: SimulatorScript
    let cache: PictureCache
    private let cancelled = CancelledJobs(capacity: 10_000)

    static let failure = SimulatorError(
        500, "The server had an error while processing your request.", type: "server_error", code: "server_error")

    init(defaults: SimulatorScript, cache: PictureCache) {
        self.defaults = defaults
        self.cache = cache
    }

    func create(_ request: SimulatorRequest) async throws -> SimulatorResponse {
        if let credentials = request.headers[.authorization], credentials.lowercased().hasPrefix("bearer bad") {
            throw SimulatorError(401, "Incorrect API key provided.", code: "invalid_api_key")
        }
        var parameters = try ResponsesRequest(request.body)
        let (script, prompt) = try request.script(over: self.defaults, prompt: parameters.prompt)
        parameters.prompt = prompt
        try StatusFault.check(script, openAI: true)
        if script.refuse == .head { throw OpenAIImagesEndpoint.refusal(script) }
        var subject = parameters.inputHash
        subject.combine(prompt.utf8)
        let job = ResponsesJob(
            start: request.visit.now, nonce: UInt32.random(in: .min ... .max),
            picture: Picture(
                key: Picture.key(subject: subject.value, seed: script.seed ?? 0), width: parameters.width,
                height: parameters.height, transparent: parameters.isTransparent),
            previews: min(parameters.partialImages, script.previews), isBackground: parameters.background,
            draws: parameters.draws, script: script)
        let writer = ResponsesWriter(job: job, id: job.id, model: parameters.model, quality: parameters.quality)
        if parameters.stream { return self.stream(writer, after: -1) }
        if parameters.background { return .json(writer.document(status: "queued", payload: nil), script: script) }
        return try await self.whole(writer, request.visit)
    }

    /// Waits for the end and answers all of it.
    private func whole(_ writer: ResponsesWriter, _ visit: Visit) async throws -> SimulatorResponse {
        guard let end = writer.job.end else {
            try await visit.stall()
            throw ClientGone()
        }
        try await visit.pause(until: writer.job.start + end)
        if writer.job.fails {
            var error = Self.failure
            error.script = writer.job.script
            throw error
        }
        return .json(
            writer.document(
                status: "completed", payload: try await self.picture(writer.job), malformed: writer.job.script.malformed
            ),
            script: writer.job.script)
    }

    private func picture(_ job: ResponsesJob) async throws -> ByteBuffer? {
        guard job.draws, !job.isRefused else { return nil }
        return try await self.cache.entry(job.picture, .finished, paddedTo: job.script.payload).base64
    }

    // MARK: - Afterwards

    private func writer(_ id: String, _ request: SimulatorRequest) throws(SimulatorError) -> ResponsesWriter {
        guard var job = ResponsesJob(id: id), job.isBackground else {
            throw SimulatorError(404, "Response with id '\(id.prefix(200))' not found.", parameter: "id")
        }
        job.script = try request.script(over: job.script)
        try StatusFault.check(job.script, openAI: true)
        return ResponsesWriter(job: job, id: id, model: "gpt-simulated", quality: "medium")
    }

    private func status(of writer: ResponsesWriter, at now: Int64) -> String {
        if self.cancelled.contains(writer.id) { return "cancelled" }
        let age = now - writer.job.start
        if age < writer.job.queue { return "queued" }
        guard let end = writer.job.end, age >= end else { return "in_progress" }
        return writer.job.fails ? "failed" : "completed"
    }

    func retrieve(_ id: String, _ request: SimulatorRequest) async throws -> SimulatorResponse {
        let writer = try self.writer(id, request)
        let items = request.query.split(separator: "&").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        if items.contains(["stream", "true"]) {
            let after = items.first { $0.first == "starting_after" }.flatMap { $0.count == 2 ? Int($0[1]) : nil }
            return self.stream(writer, after: after ?? -1)
        }
        let status = self.status(of: writer, at: request.visit.now)
        var script = writer.job.script
        // What breaks, breaks in the last answer, so that a response gets that far.
        let isOver = status == "completed"
        if !isOver { (script.truncate, script.malformed) = (nil, script.malformed == .html ? .html : nil) }
        script.stall = nil
        let payload = isOver ? try await self.picture(writer.job) : nil
        return .json(
            writer.document(status: status, payload: payload, malformed: isOver ? script.malformed : nil),
            script: script)
    }

    /// The first end wins: a finished response stays finished.
    func cancel(_ id: String, _ request: SimulatorRequest) throws -> SimulatorResponse {
        let writer = try self.writer(id, request)
        let status = self.status(of: writer, at: request.visit.now)
        if status == "queued" || status == "in_progress" { self.cancelled.insert(id) }
        var script = SimulatorScript()
        script.firstByte = writer.job.script.firstByte
        return .json(
            writer.document(status: self.status(of: writer, at: request.visit.now), payload: nil), script: script)
    }

    // MARK: - Events

    private func stream(_ writer: ResponsesWriter, after: Int) -> SimulatorResponse {
        .events(headers: [.requestID: OpenAIImagesEndpoint.requestID()], script: writer.job.script) { stream in
            let entries = ResponsesTimeline(writer.job).entries
            for (number, entry) in entries.enumerated() where number > after {
                let payload = try await self.payload(of: entry.event, writer.job)
                try await stream.visit.pause(until: writer.job.start + entry.age)
                if entry.event == .silence { try await stream.visit.stall() }
                if stream.visit.presence.isGone { throw ClientGone() }
                if self.cancelled.contains(writer.id) { return }
                let isLast = number == entries.count - 1
                try await stream.send(
                    writer.event(
                        entry.event, number: number, payload: payload,
                        status: Self.status(of: entry.event, writer.job),
                        malformed: Self.malformation(of: entry.event, isLast: isLast, writer.job.script)),
                    last: isLast)
            }
        }
    }

    private func payload(of event: ResponsesTimeline.Event, _ job: ResponsesJob) async throws -> ByteBuffer? {
        switch event {
        case .partial(let step):
            try await self.cache.entry(
                job.picture, .preview(step: step, count: job.previews), paddedTo: job.script.payload
            ).base64
        case .callDone, .completed: try await self.picture(job)
        default: nil
        }
    }

    /// The response object's status at the time of the event.
    private static func status(of event: ResponsesTimeline.Event, _ job: ResponsesJob) -> String {
        switch event {
        case .created: job.isBackground ? "queued" : "in_progress"
        case .queued: "queued"
        case .failed: "failed"
        case .completed: "completed"
        default: "in_progress"
        }
    }

    /// A picture arrives twice, so its payload is spoilt in both places.
    private static func malformation(
        of event: ResponsesTimeline.Event, isLast: Bool, _ script: SimulatorScript
    ) -> SimulatorScript.Malformation? {
        switch script.malformed {
        case .base64: event == .callDone || isLast ? .base64 : nil
        case .event: event == .callDone || isLast ? .event : nil
        case .json, .sse: event == .callDone ? script.malformed : nil
        case .html, nil: nil
        }
    }
}
