import ImageGeneration

// How a job ends, and what it has cost.

extension JobAssembler {
    /// The exchange is over; the job ends once every picture is kept.
    mutating func finish(_ error: GatewayError?, now: Timestamp) -> [Step] {
        guard !self.isOver, !self.isFinishing else { return [] }
        self.isFinishing = true
        self.finishError = error
        var steps: [Step] = []
        if self.pictures.values.contains(where: { !$0.isKept }) { steps += self.upload(now: now) }
        return steps + self.endIfPossible(now: now)
    }

    mutating func endIfPossible(now: Timestamp) -> [Step] {
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
    static func dearer(
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
        var cancellation = Cancellation(reason: reason, billed: self.mayBeBilled)
        cancellation.pictures = self.pictures.count
        cancellation.cost = self.plan.pictureCost.map { $0 * Double(self.pictures.count) }
        return [.end(.cancelled(cancellation))]
    }

    func elapsed(since start: Timestamp, _ end: Timestamp) -> Int {
        Int(max(0, end.milliseconds - start.milliseconds))
    }
}
