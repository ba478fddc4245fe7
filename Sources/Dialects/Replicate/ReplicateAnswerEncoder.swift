import HTTPTypes
import ImageGeneration
import StreamCodecs

/// The prediction as it stands when it is asked for. One that failed is shown as such, with the call's own success.
struct ReplicateAnswerEncoder: DialectAnswerEncoder {
    private var prediction: ReplicatePrediction
    private let status: Int

    init(_ context: EncoderContext) {
        self.prediction = ReplicatePrediction(context)
        self.status = context.call?.endpoint.action == .create ? 201 : 200
    }

    mutating func add(_ event: SequencedEvent) { self.prediction.add(event) }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        self.prediction.write(into: &out)
        return DialectAnswerHead(status: self.status, headers: [.contentType: "application/json"])
    }
}
