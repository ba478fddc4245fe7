/// Where a job stands, folded from its events; payloads are left out.
package struct JobSnapshot: Sendable {
    package var job: JobID
    /// Name of the route it came by.
    package var route: String
    package var createdAt: Timestamp
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var stage: Stage
    package var progress: Int
    package var message: String
    package var queuePosition: Int?
    /// From now to the end, about; nil where nothing can be said.
    package var estimatedMilliseconds: Int?
    /// The last event written.
    package var lastSequence: EventSequence
    package var images: [FinishedImage]
    /// The terminal event once there is one.
    package var terminal: JobEvent?
    /// What became of telling the upstream that the job is cancelled; nil where there was nothing to tell.
    package var upstreamCancel: UpstreamCancel?

    package init(
        job: JobID, route: String, createdAt: Timestamp, startedAt: Timestamp? = nil, finishedAt: Timestamp? = nil,
        stage: Stage, progress: Int, message: String, queuePosition: Int? = nil, lastSequence: EventSequence,
        images: [FinishedImage] = [], terminal: JobEvent? = nil, upstreamCancel: UpstreamCancel? = nil
    ) {
        self.job = job
        self.route = route
        self.createdAt = createdAt
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.stage = stage
        self.progress = progress
        self.message = message
        self.queuePosition = queuePosition
        self.lastSequence = lastSequence
        self.images = images
        self.terminal = terminal
        self.upstreamCancel = upstreamCancel
    }
}

/// The upstream's own cancel, tried in the background for 10 s.
package enum UpstreamCancel: String, Sendable {
    case pending, done, failed
    /// The upstream has no call for it, or no id to name the job by.
    case unsupported
}
