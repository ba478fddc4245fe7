import ImageGeneration
import NIOCore
import StreamCodecs

/// A prediction as it stands.
struct ReplicatePrediction: Sendable {
    private let context: EncoderContext
    private var stage: Stage = .queued
    private var startedAt: Timestamp?
    private var finishedAt: Timestamp?
    private var images: [FinishedImage] = []
    private var terminal: JobEvent?
    private var logs = ""

    init(_ context: EncoderContext) { self.context = context }

    init(_ snapshot: JobSnapshot, _ context: EncoderContext) {
        self.context = context
        self.stage = snapshot.stage
        self.startedAt = snapshot.startedAt
        self.finishedAt = snapshot.finishedAt
        self.images = snapshot.images
        self.terminal = snapshot.terminal
    }

    mutating func add(_ event: SequencedEvent) {
        guard self.terminal == nil else { return }
        self.stage = event.stage
        if event.stage > .queued, self.startedAt == nil { self.startedAt = event.at }
        switch event.event {
        case .stage(let change): self.logs += ProgressLine.text(change, progress: event.progress) + "\n"
        case .partialImage, .textDelta: break
        case .image(let image): self.images.append(image)
        case .completed, .error, .cancelled:
            self.terminal = event.event
            self.finishedAt = event.at
        }
    }

    static func base(_ context: EncoderContext) -> String { context.call?.base ?? context.publicURL }

    // MARK: Writing

    func write(into out: inout FrameOutput) {
        let request = self.context.request
        out.json.beginObject()
        out.json.field("id", self.context.job.text)
        out.json.field("model", request.model ?? "default")
        out.json.field("version", self.version)
        self.writeInput(into: &out.json)
        out.json.field("logs", self.logs)
        let output = self.shownImages
        out.json.key("output")
        if output.isEmpty { out.json.null() } else { self.write(output, into: &out) }
        out.json.field("data_removed", output.isEmpty && !self.images.isEmpty && self.stage == .completed)
        out.json.field("error", orNull: self.errorMessage)
        out.json.field("source", staticText: "api")
        out.json.field("status", staticText: self.status)
        out.json.field("created_at", time: self.context.createdAt)
        Self.write("started_at", self.startedAt, into: &out.json)
        Self.write("completed_at", self.finishedAt, into: &out.json)
        self.writeMetrics(into: &out.json)
        self.writeURLs(into: &out.json)
        out.json.endObject()
    }

    /// A picture as one output: its URL; else its bytes.
    static func write(_ image: FinishedImage, _ delivery: Delivery, into out: inout FrameOutput) {
        if delivery.carriesPayload || image.url == nil, let payload = image.payload {
            out.write("data:")
            out.json.buffer.writeString(self.mediaType(image))
            out.write(";base64,")
            out.splice(payload)
        } else if let url = image.url {
            out.json.buffer.writeString(url.text)
        }
    }

    static func isShown(_ image: FinishedImage) -> Bool { image.payload != nil || image.url != nil }

    private static func mediaType(_ image: FinishedImage) -> String {
        (ImageFormat(rawValue: image.attributes.outputFormat) ?? .png).mediaType
    }

    /// Whether the call created the prediction. Clients take whatever stands there for final unless it is `starting`.
    private var isCreation: Bool { self.context.call?.endpoint.action == .create }

    private var shownImages: [FinishedImage] {
        guard self.terminal != nil || !self.isCreation else { return [] }
        return self.images.filter(Self.isShown).sorted { $0.imageIndex < $1.imageIndex }
    }

    private var status: StaticString {
        switch self.stage {
        case .queued: "starting"
        case .processing, .generating, .uploading: self.isCreation ? "starting" : "processing"
        case .completed: "succeeded"
        case .error: "failed"
        case .cancelled: "canceled"
        }
    }

    private var version: String {
        if case .text(let version) = self.context.request.extensions[ReplicateRequest.version] {
            version
        } else {
            "hidden"
        }
    }

    private var errorMessage: String? {
        if case .error(let error) = self.terminal { error.message } else { nil }
    }

    /// The signed URLs and `data:` URLs need no escaping.
    private func write(_ images: [FinishedImage], into out: inout FrameOutput) {
        out.json.beginArray()
        for image in images {
            out.json.beginSplicedString()
            Self.write(image, self.context.delivery, into: &out)
            out.json.endSplicedString()
        }
        out.json.endArray()
    }

    private func writeInput(into json: inout JSONWriter) {
        let request = self.context.request
        json.key("input")
        json.beginObject()
        json.field("prompt", request.prompt)
        json.field("negative_prompt", request.negativePrompt)
        if request.count > 1 { json.field("num_outputs", request.count) }
        switch request.size {
        case .aspectRatio: json.field("aspect_ratio", request.size?.text)
        case .named, .pixels: json.field("size", request.size?.text)
        case nil: break
        }
        json.field("seed", request.seed)
        json.field("quality", request.quality)
        json.field("style", request.style)
        json.field("background", request.background)
        json.field("output_format", request.outputFormat?.rawValue)
        json.field("output_quality", request.outputCompression)
        for (name, value) in request.extensions.sorted(by: { $0.key < $1.key }) where name != ReplicateRequest.version {
            json.key(dynamic: name)
            switch value {
            case .text(let text): json.value(text)
            case .integer(let number): json.value(number)
            case .boolean(let flag): json.value(flag)
            }
        }
        json.endObject()
    }

    private func writeMetrics(into json: inout JSONWriter) {
        json.key("metrics")
        json.beginObject()
        if case .completed(let completion) = self.terminal {
            json.field("predict_time", Double(completion.timings.generating) / 1000)
            json.field("total_time", Double(completion.timings.total) / 1000)
            json.field("image_count", completion.images.count)
        }
        json.endObject()
    }

    private func writeURLs(into json: inout JSONWriter) {
        let url = "\(Self.base(self.context))/predictions/\(self.context.job.text)"
        json.key("urls")
        json.beginObject()
        json.field("get", url)
        json.field("cancel", url + "/cancel")
        json.field("stream", url + "/stream")
        json.endObject()
    }

    private static func write(_ key: StaticString, _ time: Timestamp?, into json: inout JSONWriter) {
        guard time == nil else { return json.field(key, time: time) }
        json.key(key)
        json.null()
    }
}
