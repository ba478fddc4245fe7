import HTTPTypes
import NIOCore
import StreamCodecs

/// fal's queue: submit, status by polling or as a stream, result, cancel.
struct FalEndpoint: Sendable {
    private let jobs: QueuedJobs

    init(defaults: SimulatorScript) { self.jobs = QueuedJobs(defaults: defaults) }

    func respond(to call: QueuedServiceCall.FalCall, _ request: SimulatorRequest) throws -> SimulatorResponse {
        if request.headers[.authorization]?.lowercased().hasPrefix("key bad") ?? false {
            throw SimulatorError(401, "No user found for Key ID and Secret.")
        }
        switch call {
        case .submit(let app): return try self.submit(app, request)
        case .status(let app, let id):
            let standing = try self.find(id, request)
            let document = self.status(standing, links: Links(app, id, request), logs: standing.logLines)
            return standing.answer(
                status: standing.isOver ? 200 : 202, document, wrongFields: #"{"status":7,"request_id":[]}"#)
        case .statusStream(let app, let id):
            return self.stream(try self.find(id, request), Links(app, id, request))
        case .result(_, let id): return try self.result(try self.find(id, request), request)
        case .cancel(_, let id):
            let isCancelled = self.jobs.cancel(try self.find(id, request))
            let word = isCancelled ? "CANCELLATION_REQUESTED" : "ALREADY_COMPLETED"
            return .json(
                status: isCancelled ? 202 : 400, [ByteBuffer(string: #"{"status":"\#(word)"}"#)],
                script: SimulatorScript())
        }
    }

    private func find(_ id: String, _ request: SimulatorRequest) throws(SimulatorError) -> QueuedJobs.Standing {
        guard let standing = try self.jobs.find(id, request) else {
            var error = SimulatorError(404, "Request not found")
            error.document = ByteBuffer(string: #"{"status":"NOT_FOUND","detail":"Request not found"}"#)
            throw error
        }
        return standing
    }

    private func submit(_ app: String, _ request: SimulatorRequest) throws -> SimulatorResponse {
        let fields = try SubmittedFields(request.body)
        var order = QueuedJobs.Order(prompt: try fields.prompt())
        order.seed = try fields.seed()
        order.count = try fields.integer("num_images", 1...4) ?? 1
        (order.width, order.height) = try Self.size(fields)
        let standing = try self.jobs.accept(order, request)
        if standing.job.script.refuse == .head { throw Self.refusal }
        let links = Links(app, standing.id, request)
        return standing.submissionAnswer(status: 200, self.status(standing, links: links, logs: nil))
    }

    private static func size(_ fields: SubmittedFields) throws(SimulatorError) -> (Int, Int) {
        guard let node = fields.root["image_size"], !node.isNull else { return (1024, 768) }
        if node.kind == .object {
            let size = try fields.object("image_size")
            return (try size.integer("width", 16...2048) ?? 512, try size.integer("height", 16...2048) ?? 512)
        }
        let named = [
            "square_hd": (1024, 1024), "square": (512, 512), "portrait_4_3": (768, 1024), "portrait_16_9": (576, 1024),
            "landscape_4_3": (1024, 768), "landscape_16_9": (1024, 576),
        ]
        guard let size = node.string.flatMap({ named[$0] }) else {
            throw SubmittedFields.invalid("image_size", "Input should be a size or one of its names")
        }
        return size
    }

    private static var refusal: SimulatorError {
        SubmittedFields.invalid(
            "prompt", "The content could not be processed because it was flagged by a content checker.",
            type: "content_policy_violation")
    }
}

// MARK: Documents

extension FalEndpoint {
    /// Later calls name owner and app alone, with the namespace of workflows in front.
    private struct Links {
        let root: String

        init(_ app: String, _ id: String, _ request: SimulatorRequest) {
            let parts = app.split(separator: "/")
            let kept = parts.prefix(parts.first == "workflows" || parts.first == "comfy" ? 3 : 2).joined(separator: "/")
            self.root = "\(request.origin)\(request.prefix)/\(kept)/requests/\(id)"
        }
    }

    /// - Parameter logs: nil where the service tells none.
    private func status(_ standing: QueuedJobs.Standing, links: Links, logs: [String]?) -> ByteBuffer {
        var writer = JSONWriter()
        writer.beginObject()
        let isQueued = standing.state.stage == .queued
        writer.field("status", standing.isOver ? "COMPLETED" : isQueued ? "IN_QUEUE" : "IN_PROGRESS")
        writer.field("request_id", standing.id)
        writer.field("response_url", links.root)
        writer.field("status_url", links.root + "/status")
        writer.field("cancel_url", links.root + "/cancel")
        writer.field("queue_position", standing.isOver ? nil : standing.state.position)
        if let logs, !isQueued { Self.write(logs, of: standing, into: &writer) }
        if standing.isCancelled {
            writer.field("error", staticText: "Request was cancelled")
            writer.field("error_type", staticText: "client_cancelled")
        } else if standing.hasFailed, standing.job.script.refuse != .stream {
            writer.field("error", staticText: "Runner disconnected")
            writer.field("error_type", staticText: "runner_disconnected")
        }
        writer.endObject()
        return writer.takeBuffer()
    }

    private static func write(_ logs: [String], of standing: QueuedJobs.Standing, into writer: inout JSONWriter) {
        writer.key("logs")
        writer.beginArray()
        for line in logs {
            writer.beginObject()
            writer.field("message", line)
            writer.field("level", staticText: "STDERR")
            writer.field("source", staticText: "USER")
            writer.field("timestamp", SimulatorTime.text(unixMilliseconds: standing.job.start + standing.age))
            writer.endObject()
        }
        writer.endArray()
    }

    /// Each event has only the log entries that are new. The stream ends behind COMPLETED.
    private func stream(_ standing: QueuedJobs.Standing, _ links: Links) -> SimulatorResponse {
        let script = standing.job.script
        return .events(script: script) { stream in
            let timeline = StagesTimeline(script)
            var told: StagesTimeline.State?
            var lines = 0
            for moment in timeline.moments {
                try await stream.visit.pause(until: standing.job.start + moment)
                let now = self.jobs.now(standing, stream.visit, atLeast: moment)
                guard now.state != told || now.isCancelled else { continue }
                let logs = now.logLines
                let document = self.status(now, links: links, logs: Array(logs.dropFirst(lines)))
                lines = logs.count
                if now.isOver {
                    if script.noTerminal { return }
                    let wrong = #"{"status":7,"request_id":[]}"#
                    let pieces = MalformedContent.applied(to: [document], script, wrongFields: wrong)
                    return try await stream.send(
                        [ByteBuffer(string: "data: ")] + pieces + [ByteBuffer(string: "\n\n")], last: true)
                }
                try await stream.send([ByteBuffer(string: "data: "), document, ByteBuffer(string: "\n\n")])
                if told == nil, script.unknownEvent {
                    try await stream.send([ByteBuffer(string: "data: {\"status\":\"SIMULATED_NOTICE\"}\n\n")])
                }
                told = now.state
            }
            if timeline.stalls { try await stream.visit.stall() }
        }
    }

    private func result(_ standing: QueuedJobs.Standing, _ request: SimulatorRequest) throws -> SimulatorResponse {
        guard standing.isOver else { throw SimulatorError(400, "Request is still in progress") }
        guard !standing.isCancelled, !standing.hasFailed else {
            if standing.hasFailed, standing.job.script.refuse == .stream { throw Self.refusal }
            throw SimulatorError(500, "Runner disconnected", code: "runner_disconnected")
        }
        var writer = JSONWriter()
        writer.beginObject()
        writer.key("images")
        writer.beginArray()
        for file in standing.files {
            writer.beginObject()
            writer.field("url", "\(request.origin)\(request.prefix)/images/\(file)")
            writer.field("width", standing.job.picture.width)
            writer.field("height", standing.job.picture.height)
            writer.field("content_type", staticText: "image/png")
            writer.field("file_name", file)
            writer.endObject()
        }
        writer.endArray()
        writer.key("has_nsfw_concepts")
        writer.beginArray()
        for _ in standing.files { writer.value(false) }
        writer.endArray()
        writer.endObject()
        return standing.answer(writer.takeBuffer(), wrongFields: #"{"images":7}"#)
    }
}
