package import ImageGeneration

/// What is made durable before a create request is answered.
package struct AcceptedJob: Sendable {
    package var id: JobID
    package var owner: JobOwner
    /// Name of the route, by which its settings are found again after a restart.
    package var route: String
    /// Name of the client's dialect.
    package var dialect: String
    package var request: ImageRequest
    /// Name of the upstream chosen first.
    package var upstream: String
    /// As in `routes.json`; so are the two below.
    package var delivery: String
    package var disconnect: String
    package var mode: String
    package var createdAt: Timestamp
    package var idempotency: IdempotencyKey?
    /// Name of the webhook that is told of the job's end; nil: nobody is.
    package var notify: String?

    package init(
        id: JobID, owner: JobOwner, route: String, dialect: String, request: ImageRequest, upstream: String,
        delivery: String, disconnect: String, mode: String, createdAt: Timestamp, idempotency: IdempotencyKey? = nil,
        notify: String? = nil
    ) {
        self.id = id
        self.owner = owner
        self.route = route
        self.dialect = dialect
        self.request = request
        self.upstream = upstream
        self.delivery = delivery
        self.disconnect = disconnect
        self.mode = mode
        self.createdAt = createdAt
        self.idempotency = idempotency
        self.notify = notify
    }
}

/// Who asked for a job.
package struct JobOwner: Hashable, Sendable {
    /// Nil: nobody.
    package var principal: String?
    /// Keeps the idempotency keys of different nobodies apart; not stored for a principal.
    package var clientAddress: String

    package init(principal: String?, clientAddress: String) {
        self.principal = principal
        self.clientAddress = clientAddress
    }

    /// Where the owner's idempotency keys live. The two kinds never meet, whatever a principal calls itself.
    package var idempotencyScope: String {
        self.principal.map { "principal:\($0)" } ?? "address:\(self.clientAddress)"
    }
}

package struct IdempotencyKey: Hashable, Sendable {
    /// The client's text.
    package var key: String
    /// Digest of the request; another one under the same key is another request.
    package var digest: String

    package init(key: String, digest: String) {
        self.key = key
        self.digest = digest
    }
}

package enum Acceptance: Hashable, Sendable {
    case accepted
    /// The key was used for the same request.
    case existing(JobID)
    /// The key was used for another request.
    case otherBody
}

/// One call to an upstream that may cost something.
package struct Submission: Hashable, Sendable {
    /// Name of the upstream.
    package var upstream: String
    /// From 1; rises with each retry and fallback.
    package var attempt: Int
    /// The picture asked for; 0 when one call asks for all.
    package var imageIndex: Int
    package var at: Timestamp

    package init(upstream: String, attempt: Int, imageIndex: Int, at: Timestamp) {
        self.upstream = upstream
        self.attempt = attempt
        self.imageIndex = imageIndex
        self.at = at
    }
}

/// What nobody waits for: written within a tenth of a second. Of progress, usage and cancel outcome only the newest is.
package enum JobUpdate: Sendable {
    case progress(JobProgress)
    /// Its payload is in the image store; its URL is signed anew when asked for. Neither is stored.
    case image(FinishedImage)
    case imageFailed(ImageFailure)
    /// What became of telling the upstream.
    case cancelOutcome(String)
    case usage(Usage)
}

package struct JobProgress: Hashable, Sendable {
    package var stage: Stage
    /// 0…100.
    package var progress: Int
    package var message: String
    package var queuePosition: Int?

    package init(stage: Stage, progress: Int, message: String, queuePosition: Int? = nil) {
        self.stage = stage
        self.progress = progress
        self.message = message
        self.queuePosition = queuePosition
    }
}

package enum TerminalOutcome: Sendable {
    case recorded
    /// Another terminal event was first.
    case superseded(by: JobEvent)
}
