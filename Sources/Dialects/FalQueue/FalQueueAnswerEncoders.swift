import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// A request's status, as polled: with the whole log where the client asks for it.
struct FalQueueStatusEncoder: DialectAnswerEncoder {
    private var status: FalQueueStatus
    private var logs: [FalQueueStatus.Log]?
    private let job: JobID

    init(_ context: EncoderContext) {
        self.status = FalQueueStatus(context)
        self.logs = FalQueueStatus.wantsLogs(context) ? [] : nil
        self.job = context.job
    }

    mutating func add(_ event: SequencedEvent) {
        if let log = self.status.take(event) { self.logs?.append(log) }
    }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        self.status.write(logs: self.logs, into: &out.json)
        return DialectAnswerHead(
            status: self.status.stage.isTerminal ? 200 : 202,
            headers: FalQueueErrorBody.headers(requestID: self.job.text))
    }
}

/// The model's output, or why there is none.
struct FalQueueResultEncoder: DialectAnswerEncoder {
    private let context: EncoderContext
    private var images: [FinishedImage] = []
    private var terminal: JobEvent?

    init(_ context: EncoderContext) { self.context = context }

    mutating func add(_ event: SequencedEvent) {
        guard self.terminal == nil else { return }
        switch event.event {
        case .image(let image): self.images.append(image)
        case .completed, .error, .cancelled: self.terminal = event.event
        case .stage, .partialImage, .textDelta: break
        }
    }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        let id = self.context.job.text
        guard case .completed(let completion) = self.terminal else {
            let response =
                if let error = self.terminal?.failure {
                    FalQueueErrorBody.response(error, requestID: id)
                } else {
                    FalQueueErrorBody.notReady(requestID: id)
                }
            out.splice(response.body)
            return DialectAnswerHead(status: response.status, headers: response.headers)
        }
        self.write(completion, into: &out)
        return DialectAnswerHead(status: 200, headers: FalQueueErrorBody.headers(requestID: id))
    }

    private func write(_ completion: Completion, into out: inout FrameOutput) {
        let shown = self.images.filter { $0.url != nil || $0.payload != nil }.sorted { $0.imageIndex < $1.imageIndex }
        out.json.beginObject()
        out.json.key("images")
        out.json.beginArray()
        for image in shown { self.write(image, into: &out) }
        out.json.endArray()
        out.json.key("timings")
        out.json.beginObject()
        out.json.field("inference", Double(completion.timings.generating) / 1000)
        out.json.endObject()
        out.json.field("seed", self.context.request.seed)
        out.json.key("has_nsfw_concepts")
        out.json.beginArray()
        for _ in shown { out.json.value(false) }
        out.json.endArray()
        out.json.endObject()
    }

    private func write(_ image: FinishedImage, into out: inout FrameOutput) {
        let format = ImageFormat(rawValue: image.attributes.outputFormat) ?? .png
        out.json.beginObject()
        out.json.key("url")
        if self.context.delivery.carriesPayload || image.url == nil, let payload = image.payload {
            out.json.beginSplicedString()
            out.json.buffer.writeString("data:\(format.mediaType);base64,")
            out.splice(payload)
            out.json.endSplicedString()
        } else {
            out.json.value(image.url?.text ?? "")
        }
        if image.width > 0 { out.json.field("width", image.width) }
        if image.height > 0 { out.json.field("height", image.height) }
        out.json.field("content_type", format.mediaType)
        out.json.field("file_name", "\(image.imageID.text).\(format.fileExtension)")
        out.json.field("file_size", image.fileSize)
        out.json.endObject()
    }
}
