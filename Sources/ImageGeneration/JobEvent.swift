/// One entry of a job's log: position, time, where the job stands, and what happened. Never changed, so that log and readers
/// share the one object.
package final class SequencedEvent: Sendable {
    package let sequence: EventSequence
    package let at: Timestamp
    /// Where the job stands after this event; never goes back.
    package let stage: Stage
    /// 0…100, never falls, 100 only at `completed`.
    package let progress: Int
    package let event: JobEvent

    package init(sequence: EventSequence, at: Timestamp, stage: Stage, progress: Int, event: JobEvent) {
        self.sequence = sequence
        self.at = at
        self.stage = stage
        self.progress = progress
        self.event = event
    }
}

/// The event types of `docs/events.md`. Every encoder switches over them exhaustively.
///
/// The rare ones are indirect: a log keeps many previews, and each entry is as large as the largest case.
package enum JobEvent: Sendable {
    indirect case stage(StageChange)
    case partialImage(PartialImage)
    case textDelta(String)
    indirect case image(FinishedImage)
    indirect case completed(Completion)
    indirect case error(GatewayError)
    case cancelled(Cancellation)

    package var isTerminal: Bool {
        switch self {
        case .completed, .error, .cancelled: true
        case .stage, .partialImage, .textDelta, .image: false
        }
    }

    package var isPreview: Bool {
        if case .partialImage = self { true } else { false }
    }
}

extension JobEvent {
    /// The bytes that the event carries.
    package var payload: ImagePayload? {
        switch self {
        case .partialImage(let preview): preview.payload
        case .image(let image): image.payload
        case .stage, .textDelta, .completed, .error, .cancelled: nil
        }
    }
}

extension SequencedEvent {
    /// The same event with its payload elsewhere.
    /// - Parameter displace: nil where the payload, of a finished picture by its id, cannot be elsewhere.
    /// - Returns: nil where there is none, or none that can.
    package func displacing(_ displace: (ImagePayload, ImageID?) -> ImagePayload?) -> SequencedEvent? {
        let event: JobEvent
        switch self.event {
        case .partialImage(var preview):
            guard let payload = displace(preview.payload, nil) else { return nil }
            preview.payload = payload
            event = .partialImage(preview)
        case .image(var image):
            guard let payload = image.payload.flatMap({ displace($0, image.imageID) }) else { return nil }
            image.payload = payload
            event = .image(image)
        case .stage, .textDelta, .completed, .error, .cancelled:
            return nil
        }
        return SequencedEvent(
            sequence: self.sequence, at: self.at, stage: self.stage, progress: self.progress, event: event)
    }
}

/// `queued` → `processing` → `generating` → `uploading` → terminal; only forward.
package enum Stage: Int, Sendable, Comparable, CaseIterable {
    case queued, processing, generating, uploading, completed, error, cancelled

    package var name: String { self.staticName.withUTF8Buffer { String(decoding: $0, as: UTF8.self) } }

    package var staticName: StaticString {
        switch self {
        case .queued: "queued"
        case .processing: "processing"
        case .generating: "generating"
        case .uploading: "uploading"
        case .completed: "completed"
        case .error: "error"
        case .cancelled: "cancelled"
        }
    }

    package var isTerminal: Bool { self >= .completed }

    /// Where progress stands at least, once the stage is reached, and what the stage may add by itself.
    package var progressFloor: Int {
        switch self {
        case .queued, .error, .cancelled: 0
        case .processing: 5
        case .generating: 15
        case .uploading: 95
        case .completed: 100
        }
    }

    package var progressShare: Int {
        switch self {
        case .queued: 5
        case .processing: 10
        case .generating: 80
        case .uploading: 4
        case .completed, .error, .cancelled: 0
        }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

package struct StageChange: Sendable {
    /// Short English text for people.
    package var message: String
    /// Requests ahead.
    package var queuePosition: Int?
    package var estimatedMilliseconds: Int?
    package var elapsedMilliseconds: Int
    package var upstream: String?
    package var attempt: Int?
    package var reason: String?
    package var retryAt: Timestamp?
    /// Parameters the route dropped or changed because the upstream lacks them.
    package var dropped: [String]

    package init(
        message: String, queuePosition: Int? = nil, estimatedMilliseconds: Int? = nil, elapsedMilliseconds: Int = 0,
        upstream: String? = nil, attempt: Int? = nil, reason: String? = nil, retryAt: Timestamp? = nil,
        dropped: [String] = []
    ) {
        self.message = message
        self.queuePosition = queuePosition
        self.estimatedMilliseconds = estimatedMilliseconds
        self.elapsedMilliseconds = elapsedMilliseconds
        self.upstream = upstream
        self.attempt = attempt
        self.reason = reason
        self.retryAt = retryAt
        self.dropped = dropped
    }
}

/// What an upstream says of a picture, in the upstream's own words, passed on.
///
/// Behind one reference: previews of one job share it.
package struct ImageAttributes: Hashable, Sendable {
    private let words: Words

    package var size: String { self.words.size }
    package var quality: String { self.words.quality }
    package var background: String { self.words.background }
    /// What the bytes are where they could be read, else the upstream's word.
    package var outputFormat: String { self.words.outputFormat }
    /// Unix seconds.
    package var createdAt: Int64 { self.words.createdAt }

    package init(size: String, quality: String, background: String, outputFormat: String, createdAt: Int64) {
        self.words = Words(
            size: size, quality: quality, background: background, outputFormat: outputFormat, createdAt: createdAt)
    }

    package static func == (left: Self, right: Self) -> Bool {
        left.words === right.words
            || left.size == right.size && left.quality == right.quality && left.background == right.background
                && left.outputFormat == right.outputFormat && left.createdAt == right.createdAt
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.size)
        hasher.combine(self.quality)
        hasher.combine(self.background)
        hasher.combine(self.outputFormat)
        hasher.combine(self.createdAt)
    }

    private final class Words: Sendable {
        let size: String
        let quality: String
        let background: String
        let outputFormat: String
        let createdAt: Int64

        init(size: String, quality: String, background: String, outputFormat: String, createdAt: Int64) {
            self.size = size
            self.quality = quality
            self.background = background
            self.outputFormat = outputFormat
            self.createdAt = createdAt
        }
    }
}

/// A preview; supersedes earlier ones of its `imageIndex`.
package struct PartialImage: Sendable {
    package var imageIndex: Int
    /// The upstream's own count; gaps are allowed.
    package var partialImageIndex: Int
    package var attributes: ImageAttributes
    package var payload: ImagePayload

    package init(imageIndex: Int, partialImageIndex: Int, attributes: ImageAttributes, payload: ImagePayload) {
        self.imageIndex = imageIndex
        self.partialImageIndex = partialImageIndex
        self.attributes = attributes
        self.payload = payload
    }
}

/// One finished picture.
package struct FinishedImage: Sendable {
    package var imageIndex: Int
    package var imageID: ImageID
    /// Pixels, read from the bytes; 0 when the header could not be read.
    package var width: Int
    package var height: Int
    package var attributes: ImageAttributes
    /// Bytes of the picture once decoded.
    package var fileSize: Int
    package var usage: Usage?
    package var revisedPrompt: String?
    package var url: SignedURL?
    /// Nil where the route delivers URLs only; the bytes are then in the image store.
    package var payload: ImagePayload?

    package init(
        imageIndex: Int, imageID: ImageID, width: Int, height: Int, attributes: ImageAttributes, fileSize: Int,
        usage: Usage? = nil, revisedPrompt: String? = nil, url: SignedURL? = nil, payload: ImagePayload? = nil
    ) {
        self.imageIndex = imageIndex
        self.imageID = imageID
        self.width = width
        self.height = height
        self.attributes = attributes
        self.fileSize = fileSize
        self.usage = usage
        self.revisedPrompt = revisedPrompt
        self.url = url
        self.payload = payload
    }
}

package struct SignedURL: Hashable, Sendable {
    package let text: String
    package let expiresAt: Timestamp

    package init(text: String, expiresAt: Timestamp) {
        self.text = text
        self.expiresAt = expiresAt
    }
}

/// Terminal: at least one picture finished.
package struct Completion: Sendable {
    /// As announced by their `image` events, without payload.
    package var images: [FinishedImage]
    package var failures: [ImageFailure]
    package var usage: Usage
    package var cost: Double?
    package var upstream: String
    package var model: String
    package var timings: Timings

    package init(
        images: [FinishedImage], failures: [ImageFailure] = [], usage: Usage, cost: Double? = nil, upstream: String,
        model: String, timings: Timings
    ) {
        self.images = images
        self.failures = failures
        self.usage = usage
        self.cost = cost
        self.upstream = upstream
        self.model = model
        self.timings = timings
    }
}

package struct ImageFailure: Sendable {
    package var imageIndex: Int
    package var code: GatewayError.Code
    package var message: String

    package init(imageIndex: Int, code: GatewayError.Code, message: String) {
        self.imageIndex = imageIndex
        self.code = code
        self.message = message
    }
}

/// Milliseconds; nil where the phase did not happen.
package struct Timings: Hashable, Sendable {
    package var queued: Int
    package var firstPreview: Int?
    package var generating: Int
    package var uploading: Int
    package var total: Int

    package init(queued: Int = 0, firstPreview: Int? = nil, generating: Int = 0, uploading: Int = 0, total: Int = 0) {
        self.queued = queued
        self.firstPreview = firstPreview
        self.generating = generating
        self.uploading = uploading
        self.total = total
    }
}

package struct Cancellation: Sendable {
    package var reason: Reason
    package var billed: GatewayError.Billed
    /// Pictures that had come, and what they cost; for accounts.
    package var pictures = 0
    package var cost: Double?

    package init(reason: Reason, billed: GatewayError.Billed) {
        self.reason = reason
        self.billed = billed
    }

    package enum Reason: String, Sendable { case client, disconnect, `operator` }
}
