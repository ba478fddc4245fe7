import NIOCore
import StreamCodecs

/// Writes events and response objects; payloads are spliced, not copied.
struct ResponsesWriter {
    let job: ResponsesJob
    let id: String
    let model: String
    let quality: String

    private static let blankLine = ByteBuffer(string: "\n\n")

    // MARK: Events

    /// - Parameter payload: of events that carry a picture.
    func event(
        _ event: ResponsesTimeline.Event, number: Int, payload: ByteBuffer?, status: String,
        malformed: SimulatorScript.Malformation? = nil
    ) -> [ByteBuffer] {
        if malformed == .sse { return [MalformedContent.garbage] }
        let name = Self.name(event, flat: self.job.script.fail == .flat)
        var writer = PieceWriter(ByteBuffer(string: "event: \(name)\ndata: "))
        writer.json.beginObject()
        writer.json.field("type", name)
        writer.json.field("sequence_number", malformed == .event ? -1 : number)
        if malformed == .event {
            writer.json.field("item", "none")
            writer.json.field("response", 7)
        } else {
            self.writeFields(event, payload: payload, status: status, breaks: malformed == .base64, into: &writer)
        }
        writer.json.endObject()
        var pieces = writer.finish()
        if malformed == .json { pieces = MalformedContent.cut(pieces) }
        return pieces + [Self.blankLine]
    }

    private static func name(_ event: ResponsesTimeline.Event, flat: Bool) -> String {
        switch event {
        case .created: "response.created"
        case .queued: "response.queued"
        case .inProgress: "response.in_progress"
        case .callAdded, .messageAdded: "response.output_item.added"
        case .callInProgress: "response.image_generation_call.in_progress"
        case .callGenerating: "response.image_generation_call.generating"
        case .partial: "response.image_generation_call.partial_image"
        case .callCompleted: "response.image_generation_call.completed"
        case .callDone, .callRefused, .messageDone: "response.output_item.done"
        case .partAdded: "response.content_part.added"
        case .delta: "response.output_text.delta"
        case .textDone: "response.output_text.done"
        case .partDone: "response.content_part.done"
        case .unknown, .silence: "response.simulated_notice"
        case .error: "error"
        case .failed: "response.failed"
        case .completed: "response.completed"
        }
    }

    private func writeFields(
        _ event: ResponsesTimeline.Event, payload: ByteBuffer?, status: String, breaks: Bool,
        into writer: inout PieceWriter
    ) {
        switch event {
        case .created, .queued, .inProgress, .failed, .completed:
            writer.json.key("response")
            self.writeObject(status: status, payload: payload, breaks: breaks, into: &writer)
        case .callAdded, .callDone, .callRefused:
            writer.json.field("output_index", 0)
            writer.json.key("item")
            let itemStatus = event == .callAdded ? "in_progress" : event == .callDone ? "completed" : "failed"
            self.writeCall(status: itemStatus, payload: payload, breaks: breaks, into: &writer)
        case .callInProgress, .callGenerating, .callCompleted: self.writeCallReference(into: &writer)
        case .partial(let step):
            self.writeCallReference(into: &writer)
            writer.json.field("partial_image_index", step)
            self.writePictureFields(into: &writer)
            writer.splice("partial_image_b64", payload ?? ByteBuffer(), breaks: breaks)
        case .error: self.writeError(into: &writer)
        case .unknown, .silence: writer.json.field("note", staticText: "no client knows this event")
        default: self.writeMessageFields(event, into: &writer)
        }
    }

    private func writeCallReference(into writer: inout PieceWriter) {
        writer.json.field("output_index", 0)
        writer.json.field("item_id", self.job.callID)
    }

    private func writeMessageFields(_ event: ResponsesTimeline.Event, into writer: inout PieceWriter) {
        writer.json.field("output_index", self.job.draws ? 1 : 0)
        switch event {
        case .messageAdded, .messageDone:
            writer.json.key("item")
            self.writeMessage(isDone: event == .messageDone, into: &writer)
            return
        case .delta(let index): writer.json.field("delta", ResponsesTimeline.words[index])
        case .textDone: writer.json.field("text", ResponsesTimeline.words.joined())
        default:
            writer.json.key("part")
            self.writePart(event == .partDone ? ResponsesTimeline.words.joined() : "", into: &writer)
        }
        writer.json.field("item_id", self.job.messageID)
        writer.json.field("content_index", 0)
    }

    private func writeError(into writer: inout PieceWriter) {
        let error = ResponsesEndpoint.failure
        guard self.job.script.fail == .flat else {
            writer.json.key("error")
            return error.writeOpenAIError(into: &writer.json)
        }
        writer.json.field("code", error.code)
        writer.json.field("message", error.message)
        writer.json.key("param")
        writer.json.null()
    }

    // MARK: Items

    private func writePictureFields(into writer: inout PieceWriter) {
        writer.json.field("size", "\(self.job.picture.width)x\(self.job.picture.height)")
        writer.json.field("quality", self.quality)
        writer.json.field("background", self.job.picture.transparent ? "transparent" : "opaque")
        writer.json.field("output_format", staticText: "png")
    }

    private func writeCall(
        status: String, payload: ByteBuffer?, breaks: Bool, into writer: inout PieceWriter
    ) {
        writer.json.beginObject()
        writer.json.field("id", self.job.callID)
        writer.json.field("type", staticText: "image_generation_call")
        writer.json.field("status", status)
        if status == "completed" {
            self.writePictureFields(into: &writer)
            writer.json.field("revised_prompt", staticText: "A simulated landscape.")
            writer.splice("result", payload ?? ByteBuffer(), breaks: breaks)
        } else if status == "failed" {
            writer.json.key("result")
            writer.json.null()
            writer.json.key("error")
            OpenAIImagesEndpoint.refusal(self.job.script).writeOpenAIError(into: &writer.json)
        }
        writer.json.endObject()
    }

    private func writeMessage(isDone: Bool, into writer: inout PieceWriter) {
        writer.json.beginObject()
        writer.json.field("id", self.job.messageID)
        writer.json.field("type", staticText: "message")
        writer.json.field("status", isDone ? "completed" : "in_progress")
        writer.json.key("content")
        writer.json.beginArray()
        if isDone { self.writePart(ResponsesTimeline.words.joined(), into: &writer) }
        writer.json.endArray()
        writer.json.field("role", staticText: "assistant")
        writer.json.endObject()
    }

    private func writePart(_ text: String, into writer: inout PieceWriter) {
        writer.json.beginObject()
        writer.json.field("type", staticText: "output_text")
        writer.json.key("annotations")
        writer.json.beginArray()
        writer.json.endArray()
        writer.json.field("text", text)
        writer.json.endObject()
    }
}

// MARK: - The response object

extension ResponsesWriter {
    /// A whole answer.
    func document(status: String, payload: ByteBuffer?, malformed: SimulatorScript.Malformation? = nil) -> [ByteBuffer]
    {
        var writer = PieceWriter(ByteBuffer())
        if malformed == .event {
            writer.json.beginObject()
            writer.json.field("id", self.id)
            writer.json.field("status", 7)
            writer.json.endObject()
            return writer.finish()
        }
        self.writeObject(status: status, payload: payload, breaks: malformed == .base64, into: &writer)
        switch malformed {
        case .json: return MalformedContent.cut(writer.finish())
        case .sse: return [MalformedContent.garbage]
        default: return writer.finish()
        }
    }

    private func writeObject(status: String, payload: ByteBuffer?, breaks: Bool, into writer: inout PieceWriter) {
        writer.json.beginObject()
        writer.json.field("id", self.id)
        writer.json.field("object", staticText: "response")
        writer.json.field("created_at", self.job.start / 1000)
        writer.json.field("status", status)
        writer.json.field("background", self.job.isBackground)
        writer.json.key("error")
        if status == "failed" {
            writer.json.beginObject()
            writer.json.field("code", ResponsesEndpoint.failure.code)
            writer.json.field("message", ResponsesEndpoint.failure.message)
            writer.json.endObject()
        } else {
            writer.json.null()
        }
        writer.json.key("incomplete_details")
        writer.json.null()
        writer.json.field("model", self.model)
        self.writeOutput(status: status, payload: payload, breaks: breaks, into: &writer)
        if status == "completed" { self.writeUsage(into: &writer.json) }
        writer.json.endObject()
    }

    private func writeOutput(status: String, payload: ByteBuffer?, breaks: Bool, into writer: inout PieceWriter) {
        writer.json.key("output")
        writer.json.beginArray()
        if status == "completed" {
            if self.job.isRefused, self.job.draws {
                self.writeCall(status: "failed", payload: nil, breaks: false, into: &writer)
            } else if self.job.draws {
                self.writeCall(status: "completed", payload: payload, breaks: breaks, into: &writer)
                self.writeMessage(isDone: true, into: &writer)
            } else {
                self.writeMessage(isDone: true, into: &writer)
            }
        }
        writer.json.endArray()
    }

    private func writeUsage(into json: inout JSONWriter) {
        json.key("usage")
        json.beginObject()
        json.field("input_tokens", 30)
        json.field("output_tokens", 12)
        json.field("total_tokens", 42)
        json.endObject()
        guard self.job.draws else { return }
        let base = ["low": 272, "medium": 1056, "high": 4160, "xhigh": 8320, "max": 16640][self.quality] ?? 1056
        let drawn = max(1, base * self.job.picture.width * self.job.picture.height / (1024 * 1024))
        json.key("tool_usage")
        json.beginObject()
        json.key("image_gen")
        json.beginObject()
        json.field("input_tokens", 50)
        json.key("input_tokens_details")
        json.beginObject()
        json.field("image_tokens", 0)
        json.field("text_tokens", 50)
        json.endObject()
        json.field("output_tokens", drawn)
        json.field("total_tokens", 50 + drawn)
        json.endObject()
        json.endObject()
    }
}

/// JSON in pieces, payloads uncopied between them.
struct PieceWriter {
    var json: JSONWriter
    private var pieces: [ByteBuffer] = []

    init(_ start: ByteBuffer) { self.json = JSONWriter(start) }

    /// - Parameter breaks: puts characters into the text that no base64 has.
    mutating func splice(_ key: StaticString, _ payload: ByteBuffer, prefix: String = "", breaks: Bool = false) {
        self.json.key(key)
        self.splice(payload, prefix: prefix, breaks: breaks)
    }

    mutating func splice(_ payload: ByteBuffer, prefix: String = "", breaks: Bool = false) {
        self.json.beginSplicedString()
        self.json.buffer.writeString(prefix)
        self.pieces.append(self.json.takeBuffer())
        self.pieces += breaks ? MalformedContent.breakBase64(payload) : [payload]
        self.json.endSplicedString()
    }

    consuming func finish() -> [ByteBuffer] { self.pieces + [self.json.buffer] }
}
