import ImageGeneration
import Storage

/// Tells the job store what one job does. What has to be durable before the job goes on is told back from the store's thread.
struct JobRecorder: Sendable {
    private let store: any JobStore
    private let job: JobID

    init(store: any JobStore, job: JobID) {
        self.store = store
        self.job = job
    }

    /// To be awaited before the first byte of the call leaves.
    func submitting(
        _ submission: Submission, completed: @escaping @Sendable (Result<Void, GatewayError>) -> Void
    ) {
        self.store.submitting(submission, of: self.job, completed: completed)
    }

    /// To be awaited before the upstream is asked about it.
    func handle(
        _ handle: String, attempt: Int, imageIndex: Int,
        completed: @escaping @Sendable (Result<Void, GatewayError>) -> Void
    ) {
        self.store.handle(handle, of: self.job, attempt: attempt, imageIndex: imageIndex, completed: completed)
    }

    /// What a restart has to know of an event; the rest lives and dies with the log.
    func record(_ entry: SequencedEvent) {
        switch entry.event {
        case .stage(let change):
            let progress = JobProgress(
                stage: entry.stage, progress: entry.progress, message: change.message,
                queuePosition: change.queuePosition)
            self.store.record(.progress(progress), of: self.job, at: entry.at)
        case .image(var image):
            image.payload = nil
            image.url = nil
            self.store.record(.image(image), of: self.job, at: entry.at)
        case .partialImage, .textDelta, .completed, .error, .cancelled:
            break
        }
    }

    /// To be awaited before anybody is told: what a client was told has to be true after a crash too.
    /// - Parameters:
    ///   - used: what the upstream said it used; told apart only for a job that came to nothing, since a completion carries it.
    ///   - completed: told the event that ends the job; another than `event` where another was first.
    func terminal(
        _ event: JobEvent, at: Timestamp, used: Usage,
        completed: @escaping @Sendable (JobEvent, GatewayError?) -> Void
    ) {
        let tellsUsage = if case .completed = event { true } else { false }
        if !tellsUsage, used != .zero { self.store.record(.usage(used), of: self.job, at: at) }
        self.store.terminal(event, of: self.job, at: at) { result in
            switch result {
            case .success(.recorded): completed(event, nil)
            case .success(.superseded(let first)): completed(first, nil)
            case .failure(let error): completed(event, error)
            }
        }
    }
}
