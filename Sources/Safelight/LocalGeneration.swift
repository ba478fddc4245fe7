import Gateway
import ImageGeneration
import Storage

/// A job of this process, as the command shows it.
enum LocalGeneration {
    static func events(_ job: Job) -> AsyncStream<GenerationEvent> {
        let (events, out) = AsyncStream.makeStream(of: GenerationEvent.self)
        let reader = LocalReader(subscription: job.log.subscribe(), out: out)
        reader.pump()
        return events
    }
}

private final class LocalReader: Sendable {
    private let subscription: EventSubscription
    private let out: AsyncStream<GenerationEvent>.Continuation

    init(subscription: EventSubscription, out: AsyncStream<GenerationEvent>.Continuation) {
        self.subscription = subscription
        self.out = out
    }

    /// Called again from whichever thread writes the next event, by one writer at a time.
    func pump() {
        while true {
            let events = self.subscription.read(orWake: { self.pump() })
            if events.isEmpty { return }
            for event in events { self.tell(event) }
            if events.last?.event.isTerminal == true { return self.out.finish() }
        }
    }

    private func tell(_ entry: SequencedEvent) {
        switch entry.event {
        case .stage(let change):
            self.out.yield(.progress(stage: entry.stage.name, percent: entry.progress, message: change.message))
        case .partialImage(let preview):
            self.out.yield(
                .preview(
                    image: preview.imageIndex, number: preview.partialImageIndex, base64: preview.payload.base64))
        case .textDelta:
            break
        case .image(let image):
            if let payload = image.payload {
                self.out.yield(.picture(image: image.imageIndex, base64: payload.base64))
            } else if let url = image.url {
                self.out.yield(.pictureAt(image: image.imageIndex, url: url.text))
            }
        case .completed(let completion):
            self.out.yield(.completed(milliseconds: completion.timings.total))
        case .error(let error):
            self.out.yield(.failed(code: error.code.rawValue, message: error.message))
        case .cancelled(let cancellation):
            self.out.yield(.failed(code: "cancelled", message: cancellation.reason.rawValue))
        }
    }
}
