import Dialects
import ImageGeneration
import NIOCore
import Providers
import StreamCodecs

/// Turns what an upstream does into the job's events: keeps their order, counts pictures, measures phases, and ends the job
/// exactly once. A state machine without clock or I/O; the driver performs its steps in order.
struct JobAssembler {
    enum Step {
        case append(JobEvent, stage: Stage?, progress: Int?)
        /// Keep the picture, then call ``stored(_:result:now:)``.
        indirect case store(imageIndex: Int, ImageID, ImagePayload, ImageFormat)
        /// Call ``flushStage(now:)`` after the delay.
        case flushStage(afterMilliseconds: Int)
        /// The job is over, with this terminal event. Always the last step.
        case end(JobEvent)
    }

    private struct Picture {
        var image: FinishedImage
        var isAnnounced: Bool
        var isKept: Bool
    }

    private let plan: JobPlan
    /// Of the attempt.
    private var upstream: (name: String, model: String?)
    private var request: ImageRequest
    private var attempt = 1
    private let keepsImages: Bool
    private let createdAt: Timestamp
    private let makeImageID: @Sendable () -> ImageID
    private var asked: (pictures: Int, previews: Int)

    private var stage = Stage.queued
    private var pictures: [Int: Picture] = [:]
    private var failures: [ImageFailure] = []
    /// How far each picture is, 0…1.
    private var previewFractions: [Double] = []
    private var previewFormats = PreviewFormats()
    private var hasText = false
    /// Of the last preview; those of one job differ little.
    private var lastAttributes: (upstream: UpstreamImageAttributes, format: ImageFormat?, made: ImageAttributes)?
    private(set) var usage = Usage.zero
    private var model: String?
    private var workBegan: Timestamp?
    private var firstPreview: Timestamp?
    private var lastPicture: Timestamp?
    private var isFinishing = false
    private var finishError: GatewayError?
    private var lastStageAt: Timestamp?
    private var heldStatus: UpstreamStatus?
    private var lastStatus: UpstreamStatus?
    private(set) var isOver = false
    private var mayBeBilled = GatewayError.Billed.no

    /// At most one stage event in this time, transitions apart.
    private static let stageInterval: Int64 = 250

    init(
        plan: JobPlan, keepsImages: Bool, createdAt: Timestamp, makeImageID: @escaping @Sendable () -> ImageID
    ) {
        self.plan = plan
        self.upstream = (plan.upstream.name, plan.upstream.model)
        self.request = plan.request
        self.keepsImages = keepsImages
        self.createdAt = createdAt
        self.makeImageID = makeImageID
        self.asked = (max(1, plan.request.count), plan.request.partialImages ?? 0)
    }

    /// The first event of every job.
    mutating func begin(now: Timestamp) -> [Step] {
        self.lastStageAt = now
        var change = self.change("Waiting for \(self.upstream.name).", now: now)
        change.dropped = self.plan.dropped
        return [.append(.stage(change), stage: .queued, progress: nil)]
    }

    /// The first event of a job that an earlier process submitted.
    mutating func pickUp(stage: Stage, progress: Int, now: Timestamp) -> [Step] {
        self.lastStageAt = now
        self.stage = min(stage, .generating)
        if self.stage > .queued { self.workBegan = self.createdAt }
        self.mayBeBilled = .maybe
        var change = self.change("The gateway was restarted and follows the job again.", now: now)
        change.reason = "restarted"
        return [.append(.stage(change), stage: self.stage, progress: progress)]
    }

    // MARK: Attempts

    /// Whether a failure can be made good by asking again: no client has seen anything of this attempt and nothing was paid.
    func mayBeginAgain(after error: GatewayError) -> Bool {
        guard !self.isOver, !self.isFinishing, self.pictures.isEmpty, self.firstPreview == nil else { return false }
        return Self.dearer(error.billed, self.mayBeBilled, of: error) == .no && error.billed == .no
    }

    /// What the attempt before left is forgotten, but not what clients were shown.
    mutating func beginAgain(attempt: Int) {
        self.attempt = attempt
        self.failures = []
        self.mayBeBilled = .no
        self.heldStatus = nil
        self.lastStatus = nil
    }

    /// The upstream has no place yet.
    mutating func wait(_ status: UpstreamStatus, now: Timestamp) -> [Step] {
        guard !self.isOver else { return [] }
        return self.apply(status, now: now)
    }

    /// The upstream has a place now.
    mutating func admitted(now: Timestamp) -> [Step] {
        let waited = self.heldStatus ?? self.lastStatus
        self.heldStatus = nil
        guard !self.isOver, waited?.queuePosition != nil else { return [] }
        return self.announce(UpstreamStatus(stage: .queued), now: now)
    }

    /// The upstream is asked at `until`.
    mutating func pause(reason: String, until: Timestamp, now: Timestamp) -> [Step] {
        guard !self.isOver else { return [] }
        self.lastStageAt = now
        var change = self.change("Waiting to ask \(self.upstream.name) again.", now: now)
        change.reason = reason
        change.retryAt = until
        return [.append(.stage(change), stage: self.stage, progress: nil)]
    }

    /// Another upstream is asked.
    mutating func fallBack(
        to target: UpstreamTarget, request: ImageRequest, dropped: [String], reason: String, now: Timestamp
    ) -> [Step] {
        self.upstream = (target.name, target.model)
        self.request = request
        self.asked.previews = request.partialImages ?? 0
        guard !self.isOver else { return [] }
        self.lastStageAt = now
        var change = self.change("Asking \(target.name) instead.", now: now)
        change.reason = reason
        change.dropped = dropped
        return [.append(.stage(change), stage: self.stage, progress: nil)]
    }

    // MARK: What happens

    /// A call that may cost something has sent its first byte.
    mutating func submitted() {
        if self.mayBeBilled == .no { self.mayBeBilled = .maybe }
    }

    /// No byte of it was sent after all.
    mutating func notSubmitted() {
        if self.mayBeBilled == .maybe { self.mayBeBilled = .no }
    }

    /// Adds what the event leads to behind `steps`.
    mutating func apply(
        _ event: UpstreamEvent, payloadLease: PayloadLease?, now: Timestamp, into steps: inout [Step]
    ) {
        guard !self.isOver else { return }
        switch event {
        case .accepted:
            steps += self.enter(.processing, now: now)
        case .handle, .unknownEvent:
            break
        case .status(let status):
            steps += self.apply(status, now: now)
        case .partialImage(let index, let number, let attributes, let payload):
            guard self.isWanted(index), self.pictures[index] == nil else { return }
            self.preview(
                index, number, attributes, ImagePayload(canonical: payload, lease: payloadLease), now: now, into: &steps
            )
        case .textDelta(let text):
            self.hasText = true
            steps += self.enter(.processing, now: now)
            steps.append(.append(.textDelta(text), stage: nil, progress: nil))
        case .image(let image):
            steps += self.finished(image, lease: payloadLease, now: now)
        case .imageFailed(let index, let error):
            self.fail(index, error)
        case .usage(let usage):
            self.usage = self.usage + usage
            if usage != .zero { self.mayBeBilled = .yes }
        case .model(let name):
            self.model = name
        }
    }

    private func isWanted(_ index: Int) -> Bool { index >= 0 && index < self.asked.pictures }

    // MARK: Stages

    private mutating func apply(_ status: UpstreamStatus, now: Timestamp) -> [Step] {
        let forward = min(status.stage, .generating) > self.stage
        // An upstream that says again what is known says nothing.
        guard forward || status.tellsMore(than: self.lastStatus) else { return [] }
        guard forward || now.milliseconds - (self.lastStageAt?.milliseconds ?? 0) >= Self.stageInterval else {
            let isNew = self.heldStatus == nil
            self.heldStatus = status
            return isNew ? [.flushStage(afterMilliseconds: Int(Self.stageInterval))] : []
        }
        return self.announce(status, now: now)
    }

    mutating func flushStage(now: Timestamp) -> [Step] {
        guard !self.isOver, let status = self.heldStatus else { return [] }
        return self.announce(status, now: now)
    }

    private mutating func announce(_ status: UpstreamStatus, now: Timestamp) -> [Step] {
        self.heldStatus = nil
        self.lastStatus = status
        self.move(to: min(status.stage, .generating), now: now)
        self.lastStageAt = now
        var change = self.change(status.message ?? Self.message(self.stage, self.upstream.name), now: now)
        change.queuePosition = status.queuePosition
        change.estimatedMilliseconds = status.estimatedMilliseconds
        return [.append(.stage(change), stage: self.stage, progress: status.progress)]
    }

    /// Tells a stage once, when it is reached.
    private mutating func enter(_ stage: Stage, now: Timestamp) -> [Step] {
        guard stage > self.stage else { return [] }
        return self.announce(UpstreamStatus(stage: stage), now: now)
    }

    private mutating func move(to stage: Stage, now: Timestamp) {
        guard stage > self.stage else { return }
        if self.stage == .queued { self.workBegan = now }
        self.stage = stage
    }

    private func change(_ message: String, now: Timestamp) -> StageChange {
        StageChange(
            message: message, elapsedMilliseconds: self.elapsed(since: self.createdAt, now),
            upstream: self.upstream.name, attempt: self.attempt)
    }

    private static func message(_ stage: Stage, _ upstream: String) -> String {
        switch stage {
        case .queued: "Waiting for \(upstream)."
        case .processing: "\(upstream) has taken the request."
        case .generating: "The picture is developing."
        case .uploading: "The picture is being stored."
        case .completed, .error, .cancelled: ""
        }
    }

    // MARK: Pictures

    private mutating func preview(
        _ index: Int, _ number: Int, _ attributes: UpstreamImageAttributes, _ payload: ImagePayload, now: Timestamp,
        into steps: inout [Step]
    ) {
        steps += self.enter(.generating, now: now)
        let shown = self.shown(index, number, attributes, payload, now: now)
        steps.append(.append(.partialImage(shown.image), stage: self.stage, progress: shown.progress))
    }

    /// What a preview shows that is not the first: nothing else comes of it. Nil for any other, which is to be applied.
    mutating func nextPreview(
        _ index: Int, _ number: Int, _ attributes: UpstreamImageAttributes, _ payload: ImagePayload, now: Timestamp
    ) -> (image: PartialImage, progress: Int)? {
        guard !self.isOver, self.stage >= .generating, self.firstPreview != nil, self.isWanted(index),
            self.pictures[index] == nil
        else { return nil }
        return self.shown(index, number, attributes, payload, now: now)
    }

    private mutating func shown(
        _ index: Int, _ number: Int, _ attributes: UpstreamImageAttributes, _ payload: ImagePayload, now: Timestamp
    ) -> (image: PartialImage, progress: Int) {
        if self.firstPreview == nil { self.firstPreview = now }
        let number = min(max(0, number), 1 << 20)
        let asked = Double(max(self.asked.previews, number + 1))
        self.note(Double(number + 1) / (asked + 1), of: index)
        let format = self.previewFormats.format(of: payload)
        let image = PartialImage(
            imageIndex: index, partialImageIndex: number,
            attributes: self.previewAttributes(attributes, format: format, now: now), payload: payload)
        return (image, self.progressOfPictures())
    }

    private mutating func finished(_ image: UpstreamImage, lease: PayloadLease?, now: Timestamp) -> [Step] {
        guard self.isWanted(image.imageIndex), self.pictures[image.imageIndex] == nil else { return [] }
        self.mayBeBilled = .yes
        let payload = ImagePayload(canonical: image.payload, lease: lease)
        guard let header = Self.header(of: payload) else {
            self.fail(
                image.imageIndex,
                GatewayError(.imageRefused, "The upstream's picture is not of a type the gateway relays."))
            return []
        }
        var steps = self.enter(.generating, now: now)
        if let usage = image.usage { self.usage = self.usage + usage }
        self.note(1, of: image.imageIndex)
        self.lastPicture = now
        let event = FinishedImage(
            imageIndex: image.imageIndex, imageID: self.makeImageID(), width: header.width, height: header.height,
            attributes: self.attributes(
                image.attributes, format: header.format, pixels: (header.width, header.height), now: now),
            fileSize: payload.decodedCount, usage: image.usage, revisedPrompt: image.revisedPrompt, payload: payload)
        let waits = self.keepsImages && self.plan.delivery.carriesURL
        self.failures.removeAll { $0.imageIndex == image.imageIndex }
        self.pictures[image.imageIndex] = Picture(image: event, isAnnounced: !waits, isKept: !self.keepsImages)
        if self.pictures.count + self.failures.count >= self.request.count, self.keepsImages {
            steps += self.upload(now: now)
        }
        if !waits { steps.append(.append(.image(event), stage: self.stage, progress: self.progressOfPictures())) }
        if self.keepsImages {
            steps.append(.store(imageIndex: image.imageIndex, event.imageID, payload, header.format))
        }
        return steps
    }

    /// The first reason stays; a picture that comes after all takes it back.
    private mutating func fail(_ index: Int, _ error: GatewayError) {
        guard self.isWanted(index), self.pictures[index] == nil,
            !self.failures.contains(where: { $0.imageIndex == index })
        else { return }
        self.failures.append(ImageFailure(imageIndex: index, code: error.code, message: error.message))
    }

    private mutating func upload(now: Timestamp) -> [Step] {
        guard self.stage < .uploading else { return [] }
        self.move(to: .uploading, now: now)
        self.lastStageAt = now
        let change = self.change(Self.message(.uploading, self.upstream.name), now: now)
        return [.append(.stage(change), stage: .uploading, progress: nil)]
    }

    /// Most headers lie in the first kilobyte; some JPEGs carry much before theirs.
    private static func header(of payload: ImagePayload) -> ImageHeader? {
        ImageHeader.read(Base64.decodePrefix(payload.base64, maximumBytes: 1024))
            ?? ImageHeader.read(Base64.decodePrefix(payload.base64, maximumBytes: 64 << 10))
    }

    private func attributes(
        _ upstream: UpstreamImageAttributes, format: ImageFormat?, pixels: (Int, Int)?, now: Timestamp
    ) -> ImageAttributes {
        return ImageAttributes(
            size: upstream.size ?? self.askedSize ?? pixels.map { "\($0.0)x\($0.1)" } ?? "auto",
            quality: upstream.quality ?? self.request.quality ?? "auto",
            background: upstream.background ?? self.request.background ?? "auto",
            outputFormat: format?.rawValue ?? upstream.outputFormat ?? self.request.outputFormat?.rawValue
                ?? "png",
            createdAt: upstream.createdAt ?? now.seconds)
    }

    /// Those of the last preview where they say the same.
    private mutating func previewAttributes(
        _ upstream: UpstreamImageAttributes, format: ImageFormat?, now: Timestamp
    ) -> ImageAttributes {
        if let last = self.lastAttributes, last.upstream == upstream, last.format == format,
            upstream.createdAt != nil || last.made.createdAt == now.seconds
        {
            return last.made
        }
        let made = self.attributes(upstream, format: format, pixels: nil, now: now)
        self.lastAttributes = (upstream, format, made)
        return made
    }

    private var askedSize: String? {
        switch self.request.size {
        case .named(let name): name
        case .pixels(let width, let height): "\(width)x\(height)"
        case .aspectRatio, nil: nil
        }
    }

    private mutating func note(_ fraction: Double, of index: Int) {
        while self.previewFractions.count <= index { self.previewFractions.append(0) }
        self.previewFractions[index] = fraction
    }

    private func progressOfPictures() -> Int {
        var done = 0.0
        for fraction in self.previewFractions { done += fraction }
        done /= Double(self.asked.pictures)
        return Stage.generating.progressFloor + Int(Double(Stage.generating.progressShare) * min(1, done))
    }

    /// The store has the picture, or has failed to take it.
    mutating func stored(_ imageIndex: Int, result: Result<SignedURL?, GatewayError>, now: Timestamp) -> [Step] {
        guard !self.isOver, var picture = self.pictures[imageIndex] else { return [] }
        picture.isKept = true
        var steps: [Step] = []
        switch result {
        case .success(let url):
            if self.plan.delivery.carriesURL { picture.image.url = url }
            if !picture.isAnnounced {
                steps.append(.append(.image(picture.image), stage: self.stage, progress: self.progressOfPictures()))
                picture.isAnnounced = true
            }
            self.pictures[imageIndex] = picture
        case .failure(let error):
            if picture.isAnnounced {
                // The client has the bytes; that they are not kept is the operator's business.
                self.pictures[imageIndex] = picture
            } else {
                self.pictures[imageIndex] = nil
                self.fail(imageIndex, error)
            }
        }
        return steps + self.endIfPossible(now: now)
    }

    // MARK: Endings

    /// The exchange is over; the job ends once every picture is kept.
    mutating func finish(_ error: GatewayError?, now: Timestamp) -> [Step] {
        guard !self.isOver, !self.isFinishing else { return [] }
        self.isFinishing = true
        self.finishError = error
        var steps: [Step] = []
        if self.pictures.values.contains(where: { !$0.isKept }) { steps += self.upload(now: now) }
        return steps + self.endIfPossible(now: now)
    }

    private mutating func endIfPossible(now: Timestamp) -> [Step] {
        guard self.isFinishing, self.pictures.values.allSatisfy(\.isKept) else { return [] }
        self.isOver = true
        let images = self.pictures.sorted { $0.key < $1.key }.map(\.value.image)
        guard !images.isEmpty || self.isTextEnough else { return [.end(.error(self.failure))] }
        return [.end(.completed(self.completion(images, now: now)))]
    }

    /// A conversation need not come to a picture, where the client left that open.
    private var isTextEnough: Bool {
        self.request.picture != .always && self.hasText && self.finishError == nil && self.failures.isEmpty
    }

    private var failure: GatewayError {
        var error =
            self.finishError
            ?? self.failures.first.map { GatewayError($0.code, $0.message) }
            ?? GatewayError(.noImage, "The upstream finished without a picture.")
        error.billed = Self.dearer(error.billed, error.code == .refused ? .no : self.mayBeBilled, of: error)
        return error
    }

    /// What was spent does not become cheaper by the way it ended; an upstream's own refusal knows best.
    private static func dearer(
        _ told: GatewayError.Billed, _ known: GatewayError.Billed, of error: GatewayError
    ) -> GatewayError.Billed {
        if told == .yes || known == .yes { return .yes }
        let refusedBeforeWork = error.upstreamStatus.map { (400..<500).contains($0) || $0 == 503 } ?? false
        if error.code == .upstreamUnreachable || refusedBeforeWork { return told }
        return told == .maybe ? .maybe : known
    }

    private func completion(_ images: [FinishedImage], now: Timestamp) -> Completion {
        let began = self.workBegan ?? self.createdAt
        let received = self.lastPicture ?? now
        var failures = self.failures
        if let error = self.finishError {
            for index in 0..<self.request.count
            where self.pictures[index] == nil && !failures.contains(where: { $0.imageIndex == index }) {
                failures.append(ImageFailure(imageIndex: index, code: error.code, message: error.message))
            }
        }
        return Completion(
            images: images.map { image in
                var image = image
                image.payload = nil
                return image
            },
            failures: failures.sorted { $0.imageIndex < $1.imageIndex }, usage: self.usage,
            cost: self.plan.pictureCost.map { $0 * Double(images.count) }, upstream: self.upstream.name,
            model: self.model ?? self.upstream.model ?? self.request.model ?? "",
            timings: Timings(
                queued: self.elapsed(since: self.createdAt, began),
                firstPreview: self.firstPreview.map { self.elapsed(since: self.createdAt, $0) },
                generating: self.elapsed(since: began, received), uploading: self.elapsed(since: received, now),
                total: self.elapsed(since: self.createdAt, now)))
    }

    /// Ends the job at once; what the upstream still brings is discarded.
    mutating func cancel(_ reason: Cancellation.Reason, now: Timestamp) -> [Step] {
        guard !self.isOver else { return [] }
        self.isOver = true
        return [.end(.cancelled(Cancellation(reason: reason, billed: self.mayBeBilled)))]
    }

    private func elapsed(since start: Timestamp, _ end: Timestamp) -> Int {
        Int(max(0, end.milliseconds - start.milliseconds))
    }
}

extension UpstreamStatus {
    /// Whether a client learns anything from this after `earlier`.
    fileprivate func tellsMore(than earlier: UpstreamStatus?) -> Bool {
        (self.progress ?? 0) > (earlier?.progress ?? 0) || self.queuePosition != earlier?.queuePosition
            || (self.message != nil && self.message != earlier?.message)
            || (self.estimatedMilliseconds != nil && self.estimatedMilliseconds != earlier?.estimatedMilliseconds)
    }
}
