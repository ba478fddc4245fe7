import Dialects
import ImageGeneration
import NIOCore

/// One job, its failure and its cancellation: what every dialect's golden files show.
enum CanonicalJob: String, CaseIterable, Sendable {
    case completed, failed, cancelled

    static let job = JobID(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
    static let createdAt = Timestamp(milliseconds: 1_781_870_400_000)
    static let publicURL = "https://images.example"

    // Real PNGs of 2 × 2 pixels.
    static let previews = [
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGPQYGAAIgYIBQAFDgChXVWwsAAAAABJRU5ErkJggg==",
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGNYwMAARAwQCgAUDgKB1JS+sAAAAABJRU5ErkJggg==",
    ]
    static let final =
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4LycCRAwQCgAlFgTFijNl0QAAAABJRU5ErkJggg=="

    static let usage = Usage(
        inputTokens: 14, inputTextTokens: 14, inputImageTokens: 0, outputTokens: 272, totalTokens: 286)

    var events: [SequencedEvent] {
        let opening = [
            Self.event(
                1, 0, .queued, 0,
                .stage(StageChange(message: "Waiting", queuePosition: 2, estimatedMilliseconds: 30_000))),
            Self.event(
                2, 250, .processing, 5,
                .stage(
                    StageChange(
                        message: "Accepted by the upstream", elapsedMilliseconds: 250, upstream: "darkroom", attempt: 1,
                        dropped: ["style"]))),
            Self.event(
                3, 400, .generating, 15, .stage(StageChange(message: "Developing", elapsedMilliseconds: 400))),
            Self.event(4, 900, .generating, 40, .partialImage(Self.preview(0))),
        ]
        switch self {
        case .completed:
            return opening + [
                Self.event(5, 1400, .generating, 65, .partialImage(Self.preview(1))),
                Self.event(6, 1500, .generating, 65, .textDelta("Ein „Leuchtturm“\n")),
                Self.event(7, 2000, .uploading, 95, .image(Self.image())),
                Self.event(8, 2050, .completed, 100, .completed(Self.completion())),
            ]
        case .failed: return opening + [Self.event(5, 1400, .error, 40, .error(Self.failure))]
        case .cancelled:
            return opening + [
                Self.event(
                    5, 1400, .cancelled, 40, .cancelled(Cancellation(reason: .client, billed: .maybe)))
            ]
        }
    }

    static let failure = GatewayError(
        .upstreamError, "The upstream answered: \"lamp\tbroken\"", billed: .maybe, retryAfterMilliseconds: 1500,
        upstreamStatus: 500, cause: "secret cause")

    var snapshot: JobSnapshot {
        let last = self.events[self.events.count - 1]
        return JobSnapshot(
            job: Self.job, route: "images", createdAt: Self.createdAt,
            startedAt: Self.createdAt.advanced(byMilliseconds: 250), finishedAt: last.at, stage: last.stage,
            progress: last.progress, message: "Done", lastSequence: last.sequence,
            images: self == .completed ? [Self.image(payload: nil)] : [], terminal: last.event)
    }

    static func event(_ number: UInt32, _ delay: Int64, _ stage: Stage, _ progress: Int, _ event: JobEvent)
        -> SequencedEvent
    {
        SequencedEvent(
            sequence: EventSequence(epoch: 1, number: number), at: self.createdAt.advanced(byMilliseconds: delay),
            stage: stage, progress: progress, event: event)
    }

    static let attributes = ImageAttributes(
        size: "1024x1024", quality: "high", background: "opaque", outputFormat: "png", createdAt: 1_781_870_402)

    static func preview(_ index: Int, imageIndex: Int = 0, upstreamIndex: Int? = nil) -> PartialImage {
        PartialImage(
            imageIndex: imageIndex, partialImageIndex: upstreamIndex ?? index, attributes: self.attributes,
            payload: ImagePayload(canonical: ByteBuffer(string: self.previews[index % 2])))
    }

    static func image(
        index: Int = 0, usage: Usage? = usage,
        payload: ImagePayload? = ImagePayload(canonical: ByteBuffer(string: final)),
        url: String =
            "https://images.example/v1/images/img_abcdefghijklmnopqrstuvwxyz?expires=1781874000&signature=c2lnbmF0dXJl"
    ) -> FinishedImage {
        guard let id = ImageID("img_abcdefghijklmnopqrstuvwxyz") else { preconditionFailure("not an image id") }
        return FinishedImage(
            imageIndex: index, imageID: id, width: 2, height: 2, attributes: self.attributes, fileSize: 73,
            usage: usage,
            revisedPrompt: "A lighthouse at dusk",
            url: SignedURL(text: url, expiresAt: Timestamp(seconds: 1_781_874_000)),
            payload: payload)
    }

    static func completion(images: [FinishedImage] = [image(payload: nil)], failures: [ImageFailure] = []) -> Completion
    {
        Completion(
            images: images, failures: failures, usage: self.usage, cost: 4, upstream: "darkroom", model: "gpt-image-2",
            timings: Timings(queued: 250, firstPreview: 900, generating: 1600, uploading: 50, total: 2050))
    }

    static func context(
        _ dialect: any Dialect, request: ImageRequest, delivery: Delivery? = nil, call: DialectCall? = nil,
        seen: EventPart? = nil
    ) -> EncoderContext {
        EncoderContext(
            job: self.job, request: request, delivery: delivery ?? dialect.traits.defaultDelivery,
            publicURL: self.publicURL, createdAt: self.createdAt, call: call, seen: seen)
    }
}
