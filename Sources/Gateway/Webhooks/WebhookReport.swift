import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Storage
import StreamCodecs

/// `/webhooks` on the operators' listener: what is owed to whom, and the newest deliveries. Shows no secret, and of a URL no query.
struct WebhookReport: Sendable {
    let outbox: any WebhookOutbox
    /// As configured now.
    let targets: @Sendable () -> [RouteTable.Webhook]

    func answer(_ scope: RequestScope) async -> DialectResponse {
        do {
            let query = try Self.query(scope)
            let owed = try await self.outbox.owed()
            let counts = try await self.outbox.pendingCounts()
            let deliveries = try await self.outbox.deliveries(query)
            var json = JSONWriter()
            json.beginObject()
            self.writeTargets(owed, counts, into: &json)
            json.key("deliveries")
            json.beginArray()
            for delivery in deliveries { Self.write(delivery, into: &json) }
            json.endArray()
            json.endObject()
            let fields: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
            return DialectResponse(status: 200, headers: fields, body: json.buffer)
        } catch {
            return GatewayResponder.failure(error)
        }
    }

    private static func query(_ scope: RequestScope) throws(GatewayError) -> DeliveryQuery {
        var query = DeliveryQuery(endpoint: scope.query("webhook"), limit: try PageLimit.read(scope.query("limit")))
        if let text = scope.query("job") {
            guard let job = JobID(text) else {
                throw GatewayError(.invalidParameter, "job must be a job's id.", parameter: "job")
            }
            query.job = job
        }
        if let text = scope.query("state") {
            guard let state = WebhookDelivery.State.allCases.first(where: { $0.word == text }) else {
                let words = WebhookDelivery.State.allCases.map(\.word).joined(separator: ", ")
                throw GatewayError(.invalidParameter, "state must be one of \(words).", parameter: "state")
            }
            query.state = state
        }
        return query
    }

    private func writeTargets(_ owed: [OwedWebhooks], _ counts: [String: Int], into json: inout JSONWriter) {
        let targets = self.targets()
        json.key("webhooks")
        json.beginArray()
        for target in targets {
            Self.write(target.name, target, owed, counts, into: &json)
        }
        for name in counts.keys.sorted() where !targets.contains(where: { $0.name == name }) {
            Self.write(name, nil, owed, counts, into: &json)
        }
        json.endArray()
    }

    private static func write(
        _ name: String, _ target: RouteTable.Webhook?, _ owed: [OwedWebhooks], _ counts: [String: Int],
        into json: inout JSONWriter
    ) {
        let reason = target == nil ? "not configured" : target?.unavailableReason
        json.beginObject()
        json.field("name", name)
        json.field("url", target?.shownURL)
        json.field("available", reason == nil)
        json.field("reason", reason)
        json.field("pending", counts[name] ?? 0)
        json.field("next_attempt_at", owed.first { $0.endpoint == name }?.nextDue.rfc3339)
        json.endObject()
    }

    private static func write(_ delivery: WebhookDelivery, into json: inout JSONWriter) {
        json.beginObject()
        json.field("webhook_id", delivery.message.id)
        json.field("webhook", delivery.message.endpoint)
        json.field("job_id", delivery.message.job.text)
        json.field("state", delivery.state.word)
        if delivery.state == .pending { json.field("next_attempt_at", delivery.message.dueAt.rfc3339) }
        json.key("attempts")
        json.beginArray()
        for attempt in delivery.attempts {
            json.beginObject()
            json.field("attempt", attempt.number)
            json.field("at", attempt.at.rfc3339)
            json.field("duration_ms", attempt.durationMilliseconds)
            json.field("status", attempt.status)
            json.field("error", attempt.error)
            json.endObject()
        }
        json.endArray()
        json.endObject()
    }
}

extension WebhookDelivery.State {
    fileprivate var word: String {
        switch self {
        case .pending: "pending"
        case .delivered: "delivered"
        case .givenUp: "given_up"
        }
    }
}
