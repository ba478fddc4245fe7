import Dialects
import ImageGeneration
import NIOCore
import Providers
import Storage

@testable import Gateway

/// An assembler with a clock of its own, its steps as words, and the journal they lead to.
struct AssemblerRun {
    private(set) var assembler: JobAssembler
    private(set) var steps: [String] = []
    /// Every event as it was written.
    private(set) var written: [SequencedEvent] = []
    private var journal = JobJournal(epoch: 1)
    var now = Timestamp(milliseconds: 1_000_000)

    init(_ plan: JobPlan = SamplePlan.plan(), keepsImages: Bool = false) {
        self.assembler = JobAssembler(plan: plan, keepsImages: keepsImages, createdAt: self.now) { ImageID() }
        self.take(self.assembler.begin(now: self.now))
    }

    /// A job that an earlier process submitted.
    init(pickingUp plan: JobPlan, kept: [FinishedImage]) {
        self.assembler = JobAssembler(plan: plan, keepsImages: true, createdAt: self.now) { ImageID() }
        self.take(self.assembler.pickUp(stage: .generating, progress: 20, kept: kept, now: self.now))
    }

    mutating func apply(_ event: UpstreamEvent, after milliseconds: Int64 = 1000) {
        self.now = self.now.advanced(byMilliseconds: milliseconds)
        var steps: [JobAssembler.Step] = []
        self.assembler.apply(event, payloadLease: nil, now: self.now, into: &steps)
        self.take(steps)
    }

    mutating func submitted() { self.assembler.submitted() }

    mutating func flush(after milliseconds: Int64 = 250) {
        self.now = self.now.advanced(byMilliseconds: milliseconds)
        self.take(self.assembler.flushStage(now: self.now))
    }

    mutating func stored(_ index: Int, _ result: Result<SignedURL?, GatewayError>, after milliseconds: Int64 = 10) {
        self.now = self.now.advanced(byMilliseconds: milliseconds)
        self.take(self.assembler.stored(index, result: result, now: self.now))
    }

    mutating func finish(_ error: GatewayError? = nil) { self.take(self.assembler.finish(error, now: self.now)) }

    mutating func cancel(_ reason: Cancellation.Reason = .client) {
        self.take(self.assembler.cancel(reason, now: self.now))
    }

    private mutating func take(_ steps: [JobAssembler.Step]) {
        for step in steps {
            switch step {
            case .append(let event, let stage, let progress): self.write(event, stage, progress)
            case .store(let index, _, _, let format): self.steps.append("store \(index) \(format.rawValue)")
            case .flushStage(let delay): self.steps.append("flush \(delay)")
            case .end(let event):
                self.write(event, nil, nil)
                self.steps.append("ended")
            }
        }
    }

    private mutating func write(_ event: JobEvent, _ stage: Stage?, _ progress: Int?) {
        guard let entry = self.journal.append(event, at: self.now, stage: stage, progress: progress) else {
            self.steps.append("refused")
            return
        }
        self.written.append(entry)
        self.steps.append(Self.word(entry))
    }

    private static func word(_ entry: SequencedEvent) -> String {
        switch entry.event {
        case .stage: "stage \(entry.stage.name)"
        case .partialImage(let preview): "preview \(preview.imageIndex).\(preview.partialImageIndex)"
        case .textDelta(let text): "text \(text)"
        case .image(let image):
            "image \(image.imageIndex)" + (image.payload == nil ? "" : " bytes") + (image.url == nil ? "" : " url")
        case .completed(let completion):
            "completed \(completion.images.map(\.imageIndex)) \(completion.failures.map(\.code.rawValue))"
        case .error(let error): "error \(error.code.rawValue) \(error.billed.rawValue)"
        case .cancelled(let cancelled): "cancelled \(cancelled.reason.rawValue) \(cancelled.billed.rawValue)"
        }
    }

    var error: GatewayError? {
        if case .error(let error)? = self.written.last?.event { error } else { nil }
    }

    var completion: Completion? {
        if case .completed(let completion)? = self.written.last?.event { completion } else { nil }
    }

    static let url = SignedURL(text: "http://gateway.example/v1/images/x", expiresAt: Timestamp(seconds: 2_000_000))
}
