import ImageGeneration
import NIOCore
import StreamCodecs

/// `data:` frames `{stage, progress, message, job_id, status, data}`, ASCII only. Previews and text have no word here.
struct StagesEncoder: DialectEncoder {
    private let job: JobID
    private let document: StagesJobDocument
    private let announcesImages: Bool
    private var images: [FinishedImage] = []
    private var stage = Stage.queued
    private var progress = 0
    private var isFinished = false

    /// Bytes of a frame that carries URLs: one network read of the clients that split each read at newlines.
    private static let maximumFrameBytes = 1200

    init(_ context: EncoderContext) {
        self.job = context.job
        self.document = StagesJobDocument(context)
        self.announcesImages = context.request.count > 1
    }

    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.stage = event.stage
        self.progress = event.progress
        switch event.event {
        case .stage(let change): self.encode(change, into: &out)
        case .partialImage, .textDelta: break
        case .image(let image): self.encode(image, into: &out)
        case .completed(let completion): self.encode(completion, into: &out)
        case .error(let error): self.encodeFailure(error, status: "failed", into: &out)
        case .cancelled(let cancellation):
            self.encodeFailure(cancellation.asError, status: "cancelled", into: &out)
        }
    }

    /// Not resumable: such a stream always starts at the first event.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput) {}

    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput) {
        guard !self.isFinished else { return }
        self.encodeFailure(error, status: "failed", into: &out)
    }

    private func encode(_ change: StageChange, into out: inout FrameOutput) {
        var json = self.begin(self.stage, message: change.message, status: self.openStatus)
        json.field("queue_position", change.queuePosition)
        json.field("estimated_ms", change.estimatedMilliseconds)
        json.field("dropped", list: change.dropped)
        self.end(json, into: &out)
    }

    /// Of several pictures each is told when it is there: all URLs together may not fit into the last frame.
    private mutating func encode(_ image: FinishedImage, into out: inout FrameOutput) {
        var described = image
        described.payload = nil
        self.images.append(described)
        guard self.announcesImages else { return }
        let message = "Image \(self.images.count) is ready"
        self.end(self.fitting([image], self.stage, message: message, status: self.openStatus), into: &out)
    }

    private mutating func encode(_ completion: Completion, into out: inout FrameOutput) {
        self.isFinished = true
        let finished = self.images.isEmpty ? completion.images : self.images
        let message = finished.count == 1 ? "Image ready" : "\(finished.count) images ready"
        self.end(self.fitting(finished, .completed, message: message, status: "completed"), into: &out)
    }

    private mutating func encodeFailure(_ error: GatewayError, status: StaticString, into out: inout FrameOutput) {
        self.isFinished = true
        var json = self.begin(.error, message: error.message, status: status)
        json.field("error", error.message)
        json.field("code", error.code.rawValue)
        self.end(json, into: &out)
    }

    private var openStatus: StaticString { self.stage == .queued ? "queued" : "processing" }

    /// The frame with as much as fits: first the alternative texts shrink, then the last pictures go, which were told
    /// before and stand in the job's document.
    private func fitting(_ images: [FinishedImage], _ stage: Stage, message: String, status: StaticString) -> JSONWriter
    {
        var count = images.count
        var altTextLength = StagesJobDocument.altTextLength
        while true {
            var json = self.begin(stage, message: message, status: status)
            self.document.writeResult(images.prefix(count), altTextLength: altTextLength, into: &json)
            if json.buffer.readableBytes + 4 <= Self.maximumFrameBytes || count == 1 && altTextLength == 0 {
                return json
            }
            if altTextLength > 0 { altTextLength /= 2 } else { count = max(1, count - 1) }
        }
    }

    /// Leaves the object `data` open.
    private func begin(_ stage: Stage, message: String, status: StaticString) -> JSONWriter {
        var json = JSONWriter(ByteBuffer(), asciiOnly: true)
        json.buffer.writeStaticString("data: ")
        json.beginObject()
        json.field("stage", StagesJobDocument.stage(stage))
        json.field("progress", self.progress)
        json.field("message", message)
        json.field("job_id", self.job.text)
        json.field("status", staticText: status)
        json.key("data")
        json.beginObject()
        self.document.writeEcho(into: &json)
        return json
    }

    private func end(_ json: JSONWriter, into out: inout FrameOutput) {
        var json = json
        json.endObject()
        json.endObject()
        json.buffer.writeStaticString("\n\n")
        out.splice(json.buffer)
    }
}
