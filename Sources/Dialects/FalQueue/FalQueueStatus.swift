import ImageGeneration
import StreamCodecs

/// A request as its status shows it. There is no status for failure: it is completion with an error.
struct FalQueueStatus: Sendable {
    private let context: EncoderContext
    private(set) var stage: Stage = .queued
    private var queuePosition: Int?
    private(set) var terminal: JobEvent?

    /// One line of a log.
    struct Log: Sendable {
        var at: Timestamp
        var message: String
        var level: StaticString = "INFO"
    }

    init(_ context: EncoderContext) { self.context = context }

    init(_ snapshot: JobSnapshot, _ context: EncoderContext) {
        self.context = context
        self.stage = snapshot.stage
        self.queuePosition = snapshot.queuePosition
        self.terminal = snapshot.terminal
    }

    /// Whether the client asks for logs, in whatever spelling of truth.
    static func wantsLogs(_ context: EncoderContext) -> Bool {
        ["1", "true", "True"].contains(context.call?.query("logs") ?? "")
    }

    /// - Returns: what a log says of the event.
    mutating func take(_ event: SequencedEvent) -> Log? {
        self.stage = event.stage
        switch event.event {
        case .stage(let change):
            self.queuePosition = change.queuePosition
            return Log(at: event.at, message: ProgressLine.text(change, progress: event.progress))
        case .completed, .error, .cancelled:
            self.terminal = event.event
            return nil
        case .partialImage, .textDelta, .image: return nil
        }
    }

    /// - Parameters:
    ///   - logs: nil where the client did not ask.
    ///   - always: logs are there in the queue too.
    func write(logs: [Log]?, always: Bool = false, into json: inout JSONWriter) {
        let url = self.url
        json.beginObject()
        json.field("status", staticText: self.word)
        json.field("request_id", self.context.job.text)
        json.field("response_url", url)
        json.field("status_url", url + "/status")
        json.field("cancel_url", url + "/cancel")
        if self.stage == .queued { json.field("queue_position", self.queuePosition ?? 0) }
        if self.stage != .queued || always {
            json.key("logs")
            if let logs { Self.write(logs, into: &json) } else { json.null() }
        }
        self.writeEnd(into: &json)
        json.endObject()
    }

    private var word: StaticString {
        switch self.stage {
        case .queued: "IN_QUEUE"
        case .processing, .generating, .uploading: "IN_PROGRESS"
        case .completed, .error, .cancelled: "COMPLETED"
        }
    }

    private var url: String {
        let base = self.context.call?.base ?? self.context.publicURL
        let model = self.context.call?.parameters["model"] ?? self.context.request.model ?? "model"
        return "\(base)/\(model)/requests/\(self.context.job.text)"
    }

    private static func write(_ logs: [Log], into json: inout JSONWriter) {
        json.beginArray()
        for log in logs {
            json.beginObject()
            json.field("message", log.message)
            json.field("level", staticText: log.level)
            json.field("source", staticText: "USER")
            json.field("timestamp", time: log.at)
            json.endObject()
        }
        json.endArray()
    }

    private func writeEnd(into json: inout JSONWriter) {
        guard self.stage.isTerminal else { return }
        json.key("metrics")
        json.beginObject()
        if case .completed(let completion) = self.terminal {
            json.field("inference_time", Double(completion.timings.generating) / 1000)
        } else {
            json.key("inference_time")
            json.null()
        }
        json.endObject()
        guard let error = self.terminal?.failure else { return }
        json.field("error", error.message)
        json.field("error_type", FalQueueErrorBody.type(error.code))
    }
}

extension JobEvent {
    /// Why a job did not come to its end; nil for all other events.
    var failure: GatewayError? {
        switch self {
        case .error(let error): error
        case .cancelled(let cancellation): cancellation.asError
        case .stage, .partialImage, .textDelta, .image, .completed: nil
        }
    }
}
