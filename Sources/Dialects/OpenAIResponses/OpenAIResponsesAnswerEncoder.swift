import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// The whole response, as it stands when it is asked for.
struct OpenAIResponsesAnswerEncoder: DialectAnswerEncoder {
    private let document: ResponseDocument
    private let picture: ImageRequest.PictureWish
    /// Whether the call created the response: its failure is then the call's own.
    private let isCreation: Bool
    private var standing: ResponseStanding
    private var output: ResponseOutput

    init(_ context: EncoderContext) {
        self.document = ResponseDocument(context)
        self.picture = context.request.picture
        self.standing = ResponseStanding(background: ResponseDocument.isBackground(context.request))
        self.output = ResponseOutput(job: context.job)
        self.isCreation =
            switch context.call?.endpoint.action {
            case .create, .createStreaming, .submit, nil: true
            case .snapshot, .answer, .stream, .list, .cancel, .describe: false
            }
    }

    mutating func add(_ event: SequencedEvent) {
        guard !self.standing.isOver else { return }
        if event.stage > .queued { self.standing.begin() }
        // As the stream does, so that items have the same places.
        let draws = event.stage == .generating || event.stage == .uploading
        if draws, self.picture == .always { _ = self.output.place(.image(0)) }
        switch event.event {
        case .stage, .partialImage: break
        case .textDelta(let text): self.output.append(text)
        case .image(let image): self.output.finish(image)
        case .completed(let completion):
            for failure in completion.failures { self.output.fail(failure) }
            self.standing.take(event.event, at: event.at)
        case .error, .cancelled: self.standing.take(event.event, at: event.at)
        }
    }

    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead {
        if self.standing.completion != nil, self.output.lacksPayload {
            self.standing.fail(
                GatewayError(.internal, "The picture's bytes are no longer at hand.", billed: .yes), at: nil)
        }
        // Behind a committed status the failure stands in the response, as the API shows it too.
        self.document.write(self.standing, self.output, into: &out)
        return DialectAnswerHead(
            status: 200, headers: [.contentType: "application/json"], error: self.isCreation ? self.standing.error : nil
        )
    }
}
