import HTTPTypes
import NIOCore
import StreamCodecs

/// Replicate's predictions, with the event stream that some models have: drafts come as outputs before the last one.
struct ReplicateEndpoint: Sendable {
    private let jobs: QueuedJobs
    private let cache: PictureCache

    init(defaults: SimulatorScript, cache: PictureCache) {
        self.jobs = QueuedJobs(defaults: defaults)
        self.cache = cache
    }

    private static let wrongFields = #"{"id":7,"status":["succeeded"],"output":{}}"#

    func respond(to call: QueuedServiceCall.ReplicateCall, _ request: SimulatorRequest) throws -> SimulatorResponse {
        if request.headers[.authorization]?.lowercased().hasPrefix("bearer bad") ?? false {
            throw Self.problem(401, "Unauthenticated", "You did not pass a valid authentication token")
        }
        switch call {
        case .submit(let model): return try self.submit(model, request)
        case .prediction(let id):
            let standing = try self.find(id, request)
            return standing.answer(self.document(standing, request), wrongFields: Self.wrongFields)
        case .stream(let id): return self.stream(try self.find(id, request), request)
        case .cancel(let id):
            _ = self.jobs.cancel(try self.find(id, request))
            return .json([self.document(try self.find(id, request), request)], script: SimulatorScript())
        }
    }

    private func find(_ id: String, _ request: SimulatorRequest) throws(SimulatorError) -> QueuedJobs.Standing {
        guard let standing = try self.jobs.find(id, request) else {
            throw Self.problem(404, "Not found", "The requested resource could not be found.")
        }
        return standing
    }

    private func submit(_ model: String?, _ request: SimulatorRequest) throws -> SimulatorResponse {
        let fields = try SubmittedFields(request.body)
        if model == nil, try fields.text("version") == nil {
            throw Self.problem(422, "Input validation failed", "- version is required\n")
        }
        guard let input = try? fields.object("input"), let prompt = try? input.prompt() else {
            throw Self.problem(422, "Input validation failed", "- input: prompt is required\n")
        }
        var order = QueuedJobs.Order(prompt: prompt)
        order.seed = try input.seed()
        order.count = try input.integer("num_outputs", 1...4) ?? 1
        if let ratio = try input.text("aspect_ratio") {
            (order.width, order.height) = try StagesRequest.size(ratio: ratio, draft: false)
        }
        let standing = try self.jobs.accept(order, request)
        return standing.submissionAnswer(status: 201, self.document(standing, request))
    }

    /// As RFC 9457 has it.
    private static func problem(_ status: Int, _ title: String, _ detail: String) -> SimulatorError {
        var writer = JSONWriter()
        writer.beginObject()
        writer.field("title", title)
        writer.field("detail", detail)
        writer.field("status", status)
        writer.endObject()
        var error = SimulatorError(status, detail)
        error.document = writer.takeBuffer()
        return error
    }
}

// MARK: Documents

extension ReplicateEndpoint {
    private func status(_ standing: QueuedJobs.Standing) -> String {
        if standing.isCancelled { return "canceled" }
        if standing.job.script.refuse == .head { return "failed" }
        switch standing.state.stage {
        case .queued: return "starting"
        case .processing, .generating, .uploading: return "processing"
        case .completed: return "succeeded"
        case .error: return "failed"
        }
    }

    private func document(_ standing: QueuedJobs.Standing, _ request: SimulatorRequest) -> ByteBuffer {
        let status = self.status(standing)
        let timeline = StagesTimeline(standing.job.script)
        let root = "\(request.origin)\(request.prefix)/predictions/\(standing.id)"
        var writer = JSONWriter()
        writer.beginObject()
        writer.field("id", standing.id)
        writer.field("version", staticText: "hidden")
        writer.field("status", status)
        writer.key("output")
        if status == "succeeded" { Self.write(standing.files, request, into: &writer) } else { writer.null() }
        writer.field("logs", standing.logLines.map { $0 + "\n" }.joined())
        writer.key("error")
        if status == "failed" { writer.value(Self.failure(standing.job.script)) } else { writer.null() }
        writer.field("data_removed", false)
        writer.field("created_at", SimulatorTime.text(unixMilliseconds: standing.job.start))
        if standing.age >= timeline.workBegins {
            let began = standing.job.start + timeline.workBegins
            writer.field("started_at", SimulatorTime.text(unixMilliseconds: began))
        }
        writer.key("urls")
        writer.beginObject()
        writer.field("get", root)
        writer.field("cancel", root + "/cancel")
        writer.field("stream", root + "/stream")
        writer.endObject()
        writer.endObject()
        return writer.takeBuffer()
    }

    private static func failure(_ script: SimulatorScript) -> String {
        script.refuse == nil
            ? "The picture could not be drawn."
            : "NSFW content detected. Try running it again, or try a different prompt."
    }

    private static func write(_ files: [String], _ request: SimulatorRequest, into writer: inout JSONWriter) {
        writer.beginArray()
        for file in files { writer.value("\(request.origin)\(request.prefix)/images/\(file)") }
        writer.endArray()
    }
}

// MARK: Events

extension ReplicateEndpoint {
    private func stream(_ standing: QueuedJobs.Standing, _ request: SimulatorRequest) -> SimulatorResponse {
        let script = standing.job.script
        return .events(script: script) { stream in
            let timeline = StagesTimeline(script)
            var lines = 0
            var drafts = 0
            var number = 0
            func send(_ name: String, _ data: [ByteBuffer], last: Bool = false) async throws {
                let head = ByteBuffer(string: "event: \(name)\nid: \(standing.job.start / 1000):\(number)\ndata: ")
                number += 1
                try await stream.send([head] + data + [ByteBuffer(string: "\n\n")], last: last)
            }
            for moment in timeline.moments {
                try await stream.visit.pause(until: standing.job.start + moment)
                let now = self.jobs.now(standing, stream.visit, atLeast: moment)
                if now.isOver || script.refuse == .head {
                    if script.noTerminal { return }
                    return try await self.end(now, request, send)
                }
                for line in now.logLines.dropFirst(lines) {
                    try await send("logs", [ByteBuffer(string: line)])
                    lines += 1
                }
                if lines > 0, number == 1, script.unknownEvent {
                    try await send("simulated_notice", [ByteBuffer(string: "{}")])
                }
                while drafts < script.previews, now.state.progress > 100 * (drafts + 1) / (script.previews + 1) {
                    let development = Development.preview(step: drafts, count: script.previews)
                    let entry = try await self.cache.entry(
                        now.job.picture, development, paddedTo: script.payload)
                    try await send("output", [ByteBuffer(string: "data:image/png;base64,"), entry.base64])
                    drafts += 1
                }
            }
            if timeline.stalls { try await stream.visit.stall() }
        }
    }

    private func end(
        _ standing: QueuedJobs.Standing, _ request: SimulatorRequest,
        _ send: (_ name: String, _ data: [ByteBuffer], _ last: Bool) async throws -> Void
    ) async throws {
        if self.status(standing) == "succeeded" {
            for file in standing.files {
                try await send(
                    "output", [ByteBuffer(string: "\(request.origin)\(request.prefix)/images/\(file)")], false)
            }
            let done = MalformedContent.applied(
                to: [ByteBuffer(string: "{}")], standing.job.script, wrongFields: "[7]")
            try await send("done", done, true)
        } else if standing.isCancelled {
            try await send("done", [ByteBuffer(string: #"{"reason": "canceled"}"#)], true)
        } else {
            try await send("error", [ByteBuffer(string: #"{"detail":"An unexpected error occurred"}"#)], false)
            try await send("done", [ByteBuffer(string: #"{"reason": "error"}"#)], true)
        }
    }
}
