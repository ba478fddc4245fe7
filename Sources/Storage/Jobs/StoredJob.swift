package import ImageGeneration

/// A job as the store has it.
package struct StoredJob: Sendable {
    package var id: JobID
    /// Nil: nobody.
    package var principal: String?
    package var route: String
    package var dialect: String
    package var request: StoredRequest
    package var upstream: String
    package var delivery: String
    package var disconnect: String
    package var mode: String
    /// Name of the webhook that is told of the job's end; nil: nobody is.
    package var notify: String?
    package var createdAt: Timestamp
    /// When it left the first stage.
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var stage: Stage
    package var progress: Int
    package var message: String
    package var queuePosition: Int?
    /// Finished pictures by index, without payload and URL.
    package var images: [FinishedImage]
    package var failures: [ImageFailure]
    /// By attempt and picture.
    package var submissions: [StoredSubmission]
    package var usage: Usage?
    package var cancelOutcome: String?
    package var terminal: JobEvent?

    package init(
        id: JobID, principal: String?, route: String, dialect: String, request: StoredRequest, upstream: String,
        delivery: String, disconnect: String, mode: String, notify: String? = nil, createdAt: Timestamp,
        startedAt: Timestamp? = nil,
        finishedAt: Timestamp? = nil, stage: Stage, progress: Int, message: String, queuePosition: Int? = nil,
        images: [FinishedImage] = [], failures: [ImageFailure] = [], submissions: [StoredSubmission] = [],
        usage: Usage? = nil, cancelOutcome: String? = nil, terminal: JobEvent? = nil
    ) {
        self.id = id
        self.principal = principal
        self.route = route
        self.dialect = dialect
        self.request = request
        self.upstream = upstream
        self.delivery = delivery
        self.disconnect = disconnect
        self.mode = mode
        self.notify = notify
        self.createdAt = createdAt
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.stage = stage
        self.progress = progress
        self.message = message
        self.queuePosition = queuePosition
        self.images = images
        self.failures = failures
        self.submissions = submissions
        self.usage = usage
        self.cancelOutcome = cancelOutcome
        self.terminal = terminal
    }

    /// Where the job stood when it was last written.
    /// - Parameter lastSequence: of the log that tells of the job now.
    package func snapshot(lastSequence: EventSequence) -> JobSnapshot {
        JobSnapshot(
            job: self.id, route: self.route, createdAt: self.createdAt, startedAt: self.startedAt,
            finishedAt: self.finishedAt, stage: self.stage, progress: self.progress, message: self.message,
            queuePosition: self.queuePosition, lastSequence: lastSequence, images: self.images, terminal: self.terminal)
    }
}

/// A request as stored: pictures that came as uploads are empty until ``JobStore/request(of:)`` reads them.
package struct StoredRequest: Sendable {
    package var request: ImageRequest
    /// False when the prompts were taken out at the job's end.
    package var hasPrompts: Bool
    /// Pictures kept as files, the mask last.
    package var uploads: Int

    package init(request: ImageRequest, hasPrompts: Bool, uploads: Int) {
        self.request = request
        self.hasPrompts = hasPrompts
        self.uploads = uploads
    }
}

package struct StoredSubmission: Hashable, Sendable {
    package var submission: Submission
    /// The upstream's own name of it; nil when the process stopped before it was known.
    package var handle: String?

    package init(submission: Submission, handle: String? = nil) {
        self.submission = submission
        self.handle = handle
    }
}

package struct UnfinishedPage: Sendable {
    package var jobs: [StoredJob]
    /// Nil: that was all.
    package var next: UnfinishedCursor?

    package init(jobs: [StoredJob], next: UnfinishedCursor?) {
        self.jobs = jobs
        self.next = next
    }
}

/// A place in the order of acceptance. Its text means something to the store alone.
package struct UnfinishedCursor: Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }
}
