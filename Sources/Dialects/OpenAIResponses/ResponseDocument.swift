import ImageGeneration
import NIOCore
import StreamCodecs

/// Where a response stands, in the API's words.
struct ResponseStanding: Sendable {
    private(set) var status: StaticString
    private(set) var isOver = false
    private(set) var error: GatewayError?
    private(set) var completion: Completion?
    private(set) var endedAt: Timestamp?

    /// - Parameter background: such a response may wait before it begins.
    init(background: Bool) { self.status = background ? "queued" : "in_progress" }

    mutating func begin() {
        if !self.isOver { self.status = "in_progress" }
    }

    /// Takes a terminal event; others change nothing.
    mutating func take(_ event: JobEvent?, at time: Timestamp?) {
        switch event {
        case .completed(let completion):
            self.completion = completion
            self.end("completed", nil, time)
        case .error(let error): self.end("failed", error, time)
        case .cancelled(let cancellation): self.end("cancelled", cancellation.asError, time)
        case .stage, .partialImage, .textDelta, .image, nil: break
        }
    }

    mutating func fail(_ error: GatewayError, at time: Timestamp?) { self.end("failed", error, time) }

    private mutating func end(_ status: StaticString, _ error: GatewayError?, _ time: Timestamp?) {
        self.status = status
        self.error = error
        self.endedAt = time
        self.isOver = true
    }
}

/// Writes the `response` object, all members present that its type demands.
struct ResponseDocument: Sendable {
    private let context: EncoderContext
    private var request: ImageRequest { self.context.request }

    init(_ context: EncoderContext) { self.context = context }

    static func isBackground(_ request: ImageRequest) -> Bool {
        request.extensions[OpenAIResponsesRequest.background] == .boolean(true)
    }

    func write(_ standing: ResponseStanding, _ output: ResponseOutput, into out: inout FrameOutput) {
        out.json.beginObject()
        out.json.field("id", self.context.job.text)
        out.json.field("object", staticText: "response")
        out.json.field("created_at", self.context.createdAt.seconds)
        out.json.field("status", staticText: standing.status)
        out.json.field("background", Self.isBackground(self.request))
        self.write(standing.error, into: &out.json)
        self.writeNulls(["incomplete_details"], into: &out.json)
        out.json.field("instructions", orNull: self.request.instructions)
        self.writeNulls(["max_output_tokens"], into: &out.json)
        self.writeMetadata(into: &out.json)
        // The type demands a name, also where neither side gave one.
        out.json.field("model", self.request.model ?? standing.completion?.model ?? "default")
        out.json.field("parallel_tool_calls", true)
        self.writeNulls(["previous_response_id", "temperature", "top_p"], into: &out.json)
        out.json.field("truncation", staticText: "disabled")
        out.json.field("user", orNull: self.request.user)
        self.writeTools(into: &out.json)
        if standing.isOver, let time = standing.endedAt { out.json.field("completed_at", time.seconds) }
        self.writeUsage(standing.completion, into: &out.json)
        out.json.key("output")
        output.write(isOver: standing.isOver, self.request.operation, into: &out)
        out.json.endObject()
    }

    private func write(_ error: GatewayError?, into json: inout JSONWriter) {
        json.key("error")
        guard let error else { return json.null() }
        json.beginObject()
        json.field("code", OpenAIErrorBody.code(error.code))
        json.field("message", error.message)
        json.endObject()
    }

    private func writeNulls(_ keys: [StaticString], into json: inout JSONWriter) {
        for key in keys {
            json.key(key)
            json.null()
        }
    }

    private func writeMetadata(into json: inout JSONWriter) {
        json.key("metadata")
        json.beginObject()
        for (name, value) in self.request.metadata.sorted(by: { $0.key < $1.key }) {
            json.key(dynamic: name)
            json.value(value)
        }
        json.endObject()
    }

    private func writeTools(into json: inout JSONWriter) {
        json.key("tool_choice")
        switch self.request.picture {
        case .model: json.value(staticText: "auto")
        case .never: json.value(staticText: "none")
        case .always:
            json.beginObject()
            json.field("type", staticText: "image_generation")
            json.endObject()
        }
        json.key("tools")
        json.beginArray()
        json.beginObject()
        json.field("type", staticText: "image_generation")
        json.field("model", self.request.imageModel)
        json.field("size", self.request.size?.text ?? "auto")
        json.field("quality", self.request.quality ?? "auto")
        json.field("background", self.request.background ?? "auto")
        json.field("output_format", self.request.outputFormat?.rawValue ?? "png")
        json.field("output_compression", self.request.outputCompression)
        json.field("partial_images", self.request.partialImages ?? 0)
        json.endObject()
        json.endArray()
        json.key("text")
        json.beginObject()
        json.key("format")
        json.beginObject()
        json.field("type", staticText: "text")
        json.endObject()
        json.endObject()
    }

    /// Null until there is one.
    private func writeUsage(_ completion: Completion?, into json: inout JSONWriter) {
        json.key("usage")
        guard let usage = completion?.usage else { return json.null() }
        json.beginObject()
        json.field("input_tokens", usage.inputTokens)
        json.key("input_tokens_details")
        json.beginObject()
        json.field("cached_tokens", 0)
        json.endObject()
        json.field("output_tokens", usage.outputTokens)
        json.key("output_tokens_details")
        json.beginObject()
        json.field("reasoning_tokens", 0)
        json.endObject()
        json.field("total_tokens", usage.totalTokens)
        json.endObject()
    }
}
