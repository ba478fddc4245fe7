import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Transport

/// What a webhook is told: `{"type": "job.completed", "timestamp": …, "data": snapshot}`.
enum WebhookPayload {
    /// - Parameter publicURL: base of absolute URLs, without trailing slash.
    static func body(_ snapshot: JobSnapshot, publicURL: String) -> ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        json.field("type", "job.\(snapshot.statusName)")
        json.field("timestamp", (snapshot.finishedAt ?? snapshot.createdAt).rfc3339)
        json.key("data")
        UnifiedSnapshot.write(snapshot, publicURL: publicURL, into: &json)
        json.endObject()
        return json.buffer
    }

    /// - Parameter timestamp: of this attempt.
    static func call(
        _ id: String, _ body: ByteBuffer, to url: String, signer: WebhookSigner, at timestamp: Timestamp
    ) -> UpstreamCall {
        var fields: HTTPFields = [.contentType: "application/json", .userAgent: "Safelight"]
        fields[.webhookID] = id
        fields[.webhookTimestamp] = String(timestamp.seconds)
        fields[.webhookSignature] = signer.signature(id: id, timestamp: timestamp.seconds, body: body)
        return UpstreamCall(
            method: .post, url: url, headers: fields, body: [body], timeouts: WebhookCall.timeouts,
            maximumResponseBytes: WebhookCall.maximumAnswerBytes)
    }
}

extension HTTPField.Name {
    fileprivate static let webhookID = HTTPField.Name(WebhookFieldName.id)
    fileprivate static let webhookTimestamp = HTTPField.Name(WebhookFieldName.timestamp)
    fileprivate static let webhookSignature = HTTPField.Name(WebhookFieldName.signature)

    private enum WebhookFieldName: String {
        case id = "webhook-id"
        case timestamp = "webhook-timestamp"
        case signature = "webhook-signature"
    }

    /// The names above are valid tokens, so the fallback is never used.
    private init(_ name: WebhookFieldName) { self = HTTPField.Name(name.rawValue) ?? .server }
}
