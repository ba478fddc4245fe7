import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Testing
import Transport

@testable import Gateway

@Suite struct WebhookSignerTests {
    private static let body = ByteBuffer(string: #"{"test": 2432232314}"#)

    private static func signature(_ secrets: String...) -> String? {
        WebhookSigner(secrets: secrets.map { Secret($0) })?.signature(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body: body)
    }

    /// The example of the specification's reference libraries.
    @Test func theSpecificationsExample() {
        #expect(
            Self.signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
                == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    @Test func anyOtherTextIsTheKeyItself() throws {
        let raw = "a text of enough bytes"
        let coded = "whsec_" + Data(raw.utf8).base64EncodedString()
        let signature = try #require(Self.signature(raw))
        #expect(signature.hasPrefix("v1,") && signature == Self.signature(coded))
        #expect(signature != Self.signature(raw + " "))
    }

    @Test func everySecretSigns() throws {
        let both = try #require(Self.signature("0123456789abcdef", "fedcba9876543210"))
        let each = [Self.signature("0123456789abcdef"), Self.signature("fedcba9876543210")]
        #expect(both.split(separator: " ").map(String.init) == each)
        #expect(Self.signature() == nil)
        #expect(Self.signature("whsec_no base64!") == nil)
    }

    @Test(arguments: [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", nil), ("0123456789abcdef", nil),
        ("0123456789abcde", "at least 16 bytes"), ("whsec_AAAA", "at least 16 bytes"),
        ("whsec_", "at least 16 bytes"), ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "base64"),
    ]) func whatIsWrongWithASecret(_ text: String, _ problem: String?) {
        let found = WebhookSigner.problem(of: Secret(text))
        #expect((found == nil) == (problem == nil))
        if let found, let problem { #expect(found.contains(problem) && !found.contains(text)) }
    }
}

@Suite struct WebhookPayloadTests {
    private static func snapshot(_ terminal: JobEvent?, _ stage: Stage) -> JobSnapshot {
        JobSnapshot(
            job: JobID(high: 1, low: 2), route: "pictures", createdAt: Timestamp(seconds: 1_700_000_000),
            finishedAt: Timestamp(seconds: 1_700_000_009), stage: stage, progress: 100, message: "",
            lastSequence: EventSequence(epoch: 1, number: 4), images: [StoredJobs.image], terminal: terminal)
    }

    @Test(arguments: [
        (StoredJobs.completed(), Stage.completed, "job.completed", "completed"),
        (.error(GatewayError(.upstreamError, "no")), .error, "job.failed", "failed"),
        (.cancelled(Cancellation(reason: .client, billed: .no)), .cancelled, "job.cancelled", "cancelled"),
    ]) func tellsTheSnapshot(_ event: JobEvent, _ stage: Stage, _ type: String, _ status: String) throws {
        let body = WebhookPayload.body(Self.snapshot(event, stage), publicURL: "https://images.example")
        let json = try JSONObject(body)
        #expect(json.string("type") == type && json.string("timestamp") == "2023-11-14T22:13:29.000Z")
        #expect(json.string("data.job_id") == JobID(high: 1, low: 2).text && json.string("data.status") == status)
        #expect(json.string("data.images.0.image_id") == StoredJobs.image.imageID.text)
        #expect(json.string("data.events_url")?.hasPrefix("https://images.example/v1/jobs/job_") == true)
        #expect(json.string("data.images.0.b64_json") == nil)
    }

    @Test func aCallIsSignedForItsOwnTime() throws {
        let signer = try #require(WebhookSigner(secrets: [Secret("0123456789abcdef")]))
        let body = ByteBuffer(string: "{}")
        let call = WebhookPayload.call(
            "msg_a", body, to: "https://app.example/h?x=1", signer: signer,
            at: Timestamp(milliseconds: 1_700_000_000_999))
        #expect(call.method == .post && call.url == "https://app.example/h?x=1" && call.body == [body])
        let fields = call.headers.reduce(into: [:]) { $0[$1.name.canonicalName] = $1.value }
        #expect(fields["webhook-id"] == "msg_a" && fields["webhook-timestamp"] == "1700000000")
        #expect(fields["webhook-signature"] == signer.signature(id: "msg_a", timestamp: 1_700_000_000, body: body))
        #expect(fields["content-type"] == "application/json")
        #expect(call.maximumResponseBytes == 65_536 && call.timeouts.total == .seconds(15))
    }
}
