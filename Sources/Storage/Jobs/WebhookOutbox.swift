package import ImageGeneration

/// Messages that are owed to somebody outside, kept until they are delivered or given up.
///
/// A message is enqueued by the store itself, in the transaction that ends a job with a `notify`, so that nobody who
/// ends jobs can forget it. Several senders may work on one outbox: a claim hides a message from the others until its
/// lease ends, and a sender whose lease has ended can no longer say what becomes of the message.
package protocol WebhookOutbox: Sendable {
    /// Takes messages to one endpoint that are due, the longest due first, and counts an attempt of each.
    /// - Parameters:
    ///   - leaseMilliseconds: for how long they are hidden from other claims; longer than an attempt may take.
    ///   - limit: 1…100.
    func claimDue(
        to endpoint: String, at now: Timestamp, leaseMilliseconds: Int64, limit: Int
    ) async throws(GatewayError) -> [ClaimedWebhook]

    /// Writes an attempt into the delivery log and decides what becomes of the message.
    /// - Returns: false when the claim was not this attempt's any more; the message is left alone then.
    func record(_ attempt: WebhookAttempt, of message: String, fate: WebhookFate) async throws(GatewayError) -> Bool

    /// To whom anything is owed, and when the next of it is due. Costs the same however much it is.
    func owed() async throws(GatewayError) -> [OwedWebhooks]

    /// How many messages wait, by endpoint.
    func pendingCounts() async throws(GatewayError) -> [String: Int]

    /// The delivery log, newest message first. It is kept as long as the messages' jobs.
    func deliveries(_ query: DeliveryQuery) async throws(GatewayError) -> [WebhookDelivery]
}

package struct WebhookMessage: Hashable, Sendable {
    /// `webhook-id`, unique: `msg_` and 26 base32 characters.
    package var id: String
    /// Name of the webhook in the configuration; URL and secret are looked up when it is sent.
    package var endpoint: String
    /// The job it tells of.
    package var job: JobID
    package var dueAt: Timestamp

    package init(id: String, endpoint: String, job: JobID, dueAt: Timestamp) {
        self.id = id
        self.endpoint = endpoint
        self.job = job
        self.dueAt = dueAt
    }

    package static func newID() -> String {
        var generator = PooledRandomNumbers()
        return Base32.encode("msg_", high: generator.next(), low: generator.next())
    }
}

package struct ClaimedWebhook: Hashable, Sendable {
    package let message: WebhookMessage
    /// From 1.
    package let attempt: Int

    package init(message: WebhookMessage, attempt: Int) {
        self.message = message
        self.attempt = attempt
    }
}

package struct OwedWebhooks: Hashable, Sendable {
    package let endpoint: String
    package let nextDue: Timestamp

    package init(endpoint: String, nextDue: Timestamp) {
        self.endpoint = endpoint
        self.nextDue = nextDue
    }
}

package struct WebhookAttempt: Hashable, Sendable {
    /// As claimed.
    package var number: Int
    /// When it began.
    package var at: Timestamp
    package var durationMilliseconds: Int
    /// Nil when there was no answer.
    package var status: Int?
    /// Why there was none, in one word.
    package var error: String?

    package init(
        number: Int, at: Timestamp, durationMilliseconds: Int = 0, status: Int? = nil, error: String? = nil
    ) {
        self.number = number
        self.at = at
        self.durationMilliseconds = durationMilliseconds
        self.status = status
        self.error = error
    }
}

package enum WebhookFate: Hashable, Sendable {
    case delivered
    case retry(at: Timestamp)
    case givenUp
}

package struct WebhookDelivery: Hashable, Sendable {
    package enum State: Int, Sendable, CaseIterable { case pending, delivered, givenUp }

    package let message: WebhookMessage
    package let state: State
    package let attempts: [WebhookAttempt]

    package init(message: WebhookMessage, state: State, attempts: [WebhookAttempt]) {
        self.message = message
        self.state = state
        self.attempts = attempts
    }
}

/// Which part of the delivery log is asked for.
package struct DeliveryQuery: Sendable {
    /// Nil, as of the two below: all.
    package var job: JobID?
    package var endpoint: String?
    package var state: WebhookDelivery.State?
    /// 1…100, brought into that range; default 20.
    package var limit: Int

    package init(
        job: JobID? = nil, endpoint: String? = nil, state: WebhookDelivery.State? = nil, limit: Int = 20
    ) {
        self.job = job
        self.endpoint = endpoint
        self.state = state
        self.limit = min(max(limit, 1), 100)
    }
}
