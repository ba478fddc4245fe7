import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// The finished job's document, for a client that waits.
struct StagesAnswerEncoder: DialectAnswerEncoder {
    private let document: StagesJobDocument
    private var snapshot: JobSnapshot

    init(_ context: EncoderContext) {
        self.document = StagesJobDocument(context)
        self.snapshot = JobSnapshot(
            job: context.job, route: "", createdAt: context.createdAt, stage: .queued, progress: 0, message: "",
            lastSequence: EventSequence(rawValue: 0))
    }

    mutating func add(_ event: SequencedEvent) {
        guard self.snapshot.terminal == nil else { return }
        self.snapshot.stage = event.stage
        self.snapshot.progress = event.progress
        self.snapshot.lastSequence = event.sequence
        if event.stage != .queued, self.snapshot.startedAt == nil { self.snapshot.startedAt = event.at }
        switch event.event {
        case .image(var image):
            image.payload = nil
            self.snapshot.images.append(image)
        case .completed, .error, .cancelled:
            self.snapshot.terminal = event.event
            self.snapshot.finishedAt = event.at
        case .stage, .partialImage, .textDelta: break
        }
    }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        switch self.snapshot.terminal {
        case .completed:
            var json = JSONWriter(ByteBuffer(), asciiOnly: true)
            self.document.write(self.snapshot, into: &json)
            out.splice(json.buffer)
            return DialectAnswerHead(status: 200, headers: [.contentType: "application/json"])
        case .error(let error): return self.fail(error, into: &out)
        case .cancelled(let cancellation): return self.fail(cancellation.asError, into: &out)
        case .stage, .partialImage, .textDelta, .image, nil:
            return self.fail(GatewayError(.interrupted, "The job has not ended.", billed: .maybe), into: &out)
        }
    }

    private func fail(_ error: GatewayError, into out: inout FrameOutput) -> DialectAnswerHead {
        let response = StagesErrorBody.response(error)
        out.splice(response.body)
        return DialectAnswerHead(status: response.status, headers: response.headers, error: error)
    }
}
