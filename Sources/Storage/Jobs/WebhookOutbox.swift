package import ImageGeneration

/// Messages that are owed to somebody outside, kept until they are delivered or given up.
///
/// Several senders may work on one outbox: a claim hides a message from the others until its lease ends, and a sender
/// whose lease has ended can no longer say what becomes of the message.
package protocol WebhookOutbox: Sendable {
    /// Takes messages that are due, the longest due first, and counts an attempt of each.
    /// - Parameters:
    ///   - leaseMilliseconds: for how long they are hidden from other claims; longer than an attempt may take.
    ///   - limit: 1…100.
    func claimDue(at now: Timestamp, leaseMilliseconds: Int64, limit: Int) async throws(GatewayError)
        -> [ClaimedWebhook]

    /// Writes an attempt into the delivery log and decides what becomes of the message.
    /// - Returns: false when the claim was not this attempt's any more; the message is left alone then.
    func record(_ attempt: WebhookAttempt, of message: String, fate: WebhookFate) async throws(GatewayError) -> Bool

    /// When the next message is due; nil when none waits.
    func nextDue() async throws(GatewayError) -> Timestamp?

    /// The delivery log of a job, in the order of enqueueing.
    func deliveries(of job: JobID) async throws(GatewayError) -> [WebhookDelivery]
}

package struct WebhookMessage: Hashable, Sendable {
    /// `webhook-id`, unique.
    package var id: String
    /// Name of the webhook in the configuration; URL and secret are looked up when it is sent.
    package var endpoint: String
    package var body: String
    package var dueAt: Timestamp

    package init(id: String, endpoint: String, body: String, dueAt: Timestamp) {
        self.id = id
        self.endpoint = endpoint
        self.body = body
        self.dueAt = dueAt
    }
}

package struct ClaimedWebhook: Hashable, Sendable {
    package let message: WebhookMessage
    package let job: JobID
    /// From 1.
    package let attempt: Int

    package init(message: WebhookMessage, job: JobID, attempt: Int) {
        self.message = message
        self.job = job
        self.attempt = attempt
    }
}

package struct WebhookAttempt: Hashable, Sendable {
    /// As claimed.
    package var number: Int
    package var at: Timestamp
    /// Nil when there was no answer.
    package var status: Int?
    package var error: String?

    package init(number: Int, at: Timestamp, status: Int? = nil, error: String? = nil) {
        self.number = number
        self.at = at
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
    package enum State: Int, Sendable { case pending, delivered, givenUp }

    package let message: WebhookMessage
    package let state: State
    package let attempts: [WebhookAttempt]

    package init(message: WebhookMessage, state: State, attempts: [WebhookAttempt]) {
        self.message = message
        self.state = state
        self.attempts = attempts
    }
}
