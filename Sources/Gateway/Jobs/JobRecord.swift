package import Dialects
package import ImageGeneration
package import Storage

/// What stays of a job that is over: enough to show it, and to replay it in any dialect. A store on disk can make one as well.
package struct JobRecord: Sendable {
    package let id: JobID
    /// Nil for nobody.
    package let owner: String?
    package let route: String
    /// Without its input pictures and its conversation, its prompt cut: what a dialect may still show of it.
    package let request: ImageRequest
    package let delivery: Delivery
    package let upstream: String
    package let createdAt: Timestamp
    /// As retained at the end, oldest first; the last one is terminal.
    package private(set) var events: [SequencedEvent]
    /// The newest event that was lost, rather than superseded.
    package let lostThrough: EventSequence?
    package let upstreamCancel: UpstreamCancel?
    /// Whether some client has had all of it.
    package let delivered: DeliveryMark
    /// What the payloads among ``events`` hold of the budget, in bytes.
    package private(set) var payloadBytes: Int

    private static let keptPromptCharacters = 200

    package init(
        id: JobID, owner: String?, route: String, request: ImageRequest, delivery: Delivery, upstream: String,
        createdAt: Timestamp, events: [SequencedEvent], lostThrough: EventSequence? = nil,
        upstreamCancel: UpstreamCancel? = nil, delivered: DeliveryMark = DeliveryMark()
    ) {
        self.delivered = delivered
        self.id = id
        self.owner = owner
        self.route = route
        var request = request
        request.images = []
        request.mask = nil
        // No text has more characters than bytes, and counting those takes no time.
        if request.prompt.utf8.count > Self.keptPromptCharacters {
            request.prompt = String(request.prompt.prefix(Self.keptPromptCharacters))
        }
        request.negativePrompt = nil
        request.messages = []
        request.instructions = nil
        self.request = request
        self.delivery = delivery
        self.upstream = upstream
        self.createdAt = createdAt
        self.events = events
        self.lostThrough = lostThrough
        self.upstreamCancel = upstreamCancel
        self.payloadBytes = Self.payloadBytes(of: events)
    }

    package init(_ job: Job) {
        // The log keeps superseded previews for a reader that has not come yet; nobody who comes later wants them.
        var events = job.log.retained
        events.dropSupersededPreviews()
        self.init(
            id: job.id, owner: job.owner, route: job.plan.route, request: job.plan.request, delivery: job.plan.delivery,
            upstream: job.plan.upstream.name, createdAt: job.createdAt, events: events,
            lostThrough: job.log.standing.lostThrough, upstreamCancel: job.upstreamCancel, delivered: job.log.delivered)
    }

    package var stage: Stage { self.events.last?.stage ?? .queued }
    package var finishedAt: Timestamp { self.events.last?.at ?? self.createdAt }

    /// Lets go of all payloads: previews are gone then, finished pictures are left as their description.
    /// - Returns: what was let go, so that its memory can be freed outside of a lock.
    package mutating func takePayloads() -> [SequencedEvent] {
        let full = self.events
        self.replaceImages { _ in nil }
        self.events.removeAll(where: \.event.isPreview)
        self.payloadBytes = 0
        return full
    }

    /// Moves payloads to where they can be read again; what cannot be moved stays.
    /// - Parameter displace: of a payload, with the picture's id where it is a finished one.
    /// - Returns: what was held before, so that its memory can be freed outside of a lock, and whether all was moved.
    package mutating func displacePayloads(
        _ displace: (ImagePayload, ImageID?) -> ImagePayload?
    ) -> (held: [SequencedEvent], isWhole: Bool) {
        let held = self.events
        var isWhole = true
        self.events = held.map { entry in
            guard let payload = entry.event.payload else { return entry }
            if payload.displaced != nil { return entry }
            if let displaced = entry.displacing(displace) { return displaced }
            isWhole = false
            return entry
        }
        // `completed` tells pictures without their bytes.
        self.replaceDescriptions { _ in }
        self.payloadBytes = Self.payloadBytes(of: self.events)
        return (held, isWhole)
    }

    /// Replaces what finished pictures carry.
    package mutating func replaceImages(_ payload: (FinishedImage) -> ImagePayload?) {
        self.replaceDescriptions { $0.payload = payload($0) }
    }

    /// Changes finished pictures where their events tell them and where `completed` does.
    package mutating func replaceDescriptions(_ change: (inout FinishedImage) -> Void) {
        self.events = self.events.map { entry in
            let event: JobEvent
            switch entry.event {
            case .image(var image):
                change(&image)
                event = .image(image)
            case .completed(var completion):
                for index in completion.images.indices {
                    change(&completion.images[index])
                    completion.images[index].payload = nil
                }
                event = .completed(completion)
            case .stage, .partialImage, .textDelta, .error, .cancelled:
                return entry
            }
            return SequencedEvent(
                sequence: entry.sequence, at: entry.at, stage: entry.stage, progress: entry.progress, event: event)
        }
    }

    /// Each lease counts once, however many events share it.
    private static func payloadBytes(of events: [SequencedEvent]) -> Int {
        var leases: [ObjectIdentifier: Int] = [:]
        for entry in events {
            switch entry.event {
            case .partialImage(let preview): Self.count(preview.payload.lease, in: &leases)
            case .image(let image): Self.count(image.payload?.lease, in: &leases)
            case .stage, .textDelta, .completed, .error, .cancelled: break
            }
        }
        return leases.values.reduce(0, +)
    }

    private static func count(_ lease: PayloadLease?, in leases: inout [ObjectIdentifier: Int]) {
        if let lease { leases[ObjectIdentifier(lease)] = lease.bytes }
    }
}
