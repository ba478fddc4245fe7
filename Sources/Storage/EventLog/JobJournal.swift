package import ImageGeneration

/// The ordered log of one job as a state machine: numbers events, keeps what a late reader needs, lets newer events
/// supersede older ones, and takes nothing after the terminal event.
///
/// What is retained is small whatever the job does: the newest stage event of each stage, the newest preview of each
/// unfinished picture, the last 4,096 text deltas, every finished picture, the terminal event.
package struct JobJournal: Sendable {
    package private(set) var stage: Stage = .queued
    package private(set) var progress = 0
    package private(set) var terminal: SequencedEvent?
    /// Retained events, oldest first.
    package private(set) var entries: [SequencedEvent] = []
    package private(set) var last: EventSequence
    /// The newest event that a late reader has lost for good; nil while all that is missing was superseded.
    package private(set) var lostThrough: EventSequence?

    private let epoch: UInt32
    private var number: UInt32 = 0
    private var textDeltaCount = 0
    /// Previews may be retained that newer ones superseded.
    package private(set) var keepsSuperseded = false

    /// Text deltas kept for late readers.
    private static let maximumTextDeltas = 4096

    /// - Parameter epoch: the start counter of this process.
    package init(epoch: UInt32) {
        self.epoch = epoch
        self.last = EventSequence(epoch: epoch, number: 0)
    }

    /// A log that is over or was begun by another process, as it was kept.
    /// - Parameters:
    ///   - retained: oldest first, at least one.
    ///   - lostThrough: as ``lostThrough``.
    package init(retained: [SequencedEvent], lostThrough: EventSequence? = nil) {
        let newest = retained.last
        self.init(epoch: newest?.sequence.epoch ?? 0)
        self.entries = retained
        self.lostThrough = lostThrough
        guard let newest else { return }
        self.number = newest.sequence.number
        self.last = newest.sequence
        self.stage = newest.stage
        self.progress = newest.progress
        if newest.event.isTerminal { self.terminal = newest }
    }

    /// Progress was shown that no event told; later ones do not fall behind it.
    package mutating func raise(progress: Int) {
        self.progress = max(self.progress, min(progress, 99))
    }

    /// Writes an event. Stage and progress only ever rise; what would lower them leaves them as they are.
    /// - Parameter keepingPreviews: leaves the previews that `event` supersedes until ``dropSupersededPreviews()``.
    /// - Returns: the event as written; nil when the job is over already.
    package mutating func append(
        _ event: JobEvent, at: Timestamp, stage newStage: Stage? = nil, progress newProgress: Int? = nil,
        keepingPreviews: Bool = false
    ) -> SequencedEvent? {
        guard self.terminal == nil else { return nil }
        self.keepsSuperseded = self.keepsSuperseded || keepingPreviews
        self.advance(stage: newStage, progress: newProgress, event: event)
        let entry = SequencedEvent(
            sequence: self.nextSequence(), at: at, stage: self.stage, progress: self.progress, event: event)
        self.dropSuperseded(by: event)
        self.entries.append(entry)
        if event.isTerminal { self.terminal = entry }
        return entry
    }

    /// A number for an event that is sent but not kept (derived progress). Numbers may skip for other readers.
    package mutating func nextSequence() -> EventSequence {
        self.number += 1
        self.last = EventSequence(epoch: self.epoch, number: self.number)
        return self.last
    }

    /// Drops the previews that newer events superseded and ``append`` was told to keep.
    package mutating func dropSupersededPreviews() {
        guard self.keepsSuperseded else { return }
        self.keepsSuperseded = false
        self.entries.dropSupersededPreviews()
    }

    /// Drops previews although no newer event superseded them.
    package mutating func dropPreviews(where isDropped: (SequencedEvent) -> Bool) {
        self.entries.removeAll { $0.event.isPreview && isDropped($0) }
    }

    /// Puts other forms of retained events in their places.
    package mutating func replace(_ replacements: [EventSequence: SequencedEvent]) {
        for index in self.entries.indices {
            if let replacement = replacements[self.entries[index].sequence] { self.entries[index] = replacement }
        }
    }

    /// Retained events behind `position`, oldest first.
    package func entries(after position: EventSequence) -> ArraySlice<SequencedEvent> {
        var start = self.entries.endIndex
        while start > self.entries.startIndex, self.entries[start - 1].sequence > position { start -= 1 }
        return self.entries[start...]
    }

    private mutating func advance(stage newStage: Stage?, progress newProgress: Int?, event: JobEvent) {
        let target: Stage =
            switch event {
            case .completed: .completed
            case .error: .error
            case .cancelled: .cancelled
            case .stage, .partialImage, .textDelta, .image: min(newStage ?? self.stage, .uploading)
            }
        self.stage = max(self.stage, target)
        let ceiling = self.stage == .completed ? 100 : 99
        let reached = max(newProgress ?? 0, self.stage.progressFloor)
        self.progress = max(self.progress, min(reached, ceiling))
    }

    private mutating func dropSuperseded(by event: JobEvent) {
        switch event {
        case .stage:
            let stage = self.stage
            self.entries.removeAll { entry in
                guard case .stage = entry.event else { return false }
                return entry.stage == stage
            }
        case .partialImage(let new):
            self.dropPreviews { $0 == new.imageIndex }
        case .image(let new):
            self.dropPreviews { $0 == new.imageIndex }
        case .textDelta:
            self.boundTextDeltas()
        case .completed, .error, .cancelled:
            break
        }
    }

    private mutating func dropPreviews(where matches: (Int) -> Bool) {
        guard !self.keepsSuperseded else { return }
        self.entries.removeAll { entry in
            guard case .partialImage(let old) = entry.event else { return false }
            return matches(old.imageIndex)
        }
    }

    /// Beyond the bound the oldest delta goes: a reader that far behind has lost text, never a picture or the ending.
    private mutating func boundTextDeltas() {
        guard self.textDeltaCount == Self.maximumTextDeltas else {
            self.textDeltaCount += 1
            return
        }
        guard let oldest = self.entries.firstIndex(where: { $0.event.isTextDelta }) else { return }
        self.lostThrough = self.entries[oldest].sequence
        self.entries.remove(at: oldest)
    }
}

extension JobEvent {
    fileprivate var previewedPicture: Int? {
        if case .partialImage(let preview) = self { preview.imageIndex } else { nil }
    }

    fileprivate var isTextDelta: Bool {
        if case .textDelta = self { true } else { false }
    }
}

extension [SequencedEvent] {
    /// Drops the previews that newer ones, or their finished picture, superseded.
    package mutating func dropSupersededPreviews() {
        // Backwards over what there is, moving what stays to the end: nothing is allocated for one picture or a few.
        var superseded: [Int] = []
        var kept = self.endIndex
        for index in self.indices.reversed() {
            let entry = self[index]
            if let picture = entry.event.previewedPicture {
                if superseded.contains(picture) { continue }
                superseded.append(picture)
            } else if case .image(let image) = entry.event {
                superseded.append(image.imageIndex)
            }
            kept -= 1
            if kept != index { self[kept] = entry }
        }
        self.removeSubrange(..<kept)
    }
}
