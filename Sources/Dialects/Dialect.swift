package import HTTPTypes
package import ImageGeneration
package import NIOCore

/// A client API family: reads its requests, writes its responses. Stateless; per-response state lives in its encoders.
package protocol Dialect: Sendable {
    /// As in `routes.json`.
    var name: String { get }
    var traits: DialectTraits { get }
    /// The calls of the dialect. A dialect of one path has one with an empty `subpath`; a many-path dialect lists them
    /// below its `mount`.
    var endpoints: [DialectEndpoint] { get }

    /// Reads a create request.
    /// - Throws: client errors of `docs/errors.md`, with `parameter` or `position` where one is at fault.
    func decode(_ request: DialectRequest, endpoint: DialectEndpoint, operation: ImageRequest.Operation)
        throws(GatewayError) -> DecodedRequest

    /// A fresh encoder for a streamed response; fed every event of the job from the first.
    func makeStreamEncoder(_ context: EncoderContext) -> any DialectEncoder

    /// A fresh encoder for one whole answer; fed every event, asked for the answer after the terminal one.
    func makeAnswerEncoder(_ context: EncoderContext) -> any DialectAnswerEncoder

    /// A failure before the first byte, in the dialect's own form.
    func render(_ error: GatewayError, requestID: String) -> DialectResponse

    /// How a call about a job that exists is answered, and where its client stands. By default as the endpoint's action says; a stream
    /// goes on behind `Last-Event-ID`.
    func follow(_ call: DialectCall) throws(GatewayError) -> FollowWish

    /// The state of a job where the dialect has a call for it (`DialectEndpoint.Action.snapshot`, `.cancel`, `.submit`).
    func render(_ snapshot: JobSnapshot, endpoint: DialectEndpoint, context: EncoderContext) -> DialectResponse

    /// A page of jobs where the dialect has a call for it (`DialectEndpoint.Action.list`): each beside the context of its own request,
    /// newest first.
    func render(_ jobs: [(snapshot: JobSnapshot, context: EncoderContext)], nextCursor: String?) -> DialectResponse

    /// What `/openapi.json` says of a call: its body, answers and failures as they are.
    func document(_ endpoint: DialectEndpoint, operation: ImageRequest.Operation) -> EndpointDocument

    /// The answer to a call that is about no job (`DialectEndpoint.Action.describe`).
    func describe(_ call: DialectCall) throws(GatewayError) -> DialectResponse
}

extension Dialect {
    package func render(
        _ jobs: [(snapshot: JobSnapshot, context: EncoderContext)], nextCursor: String?
    ) -> DialectResponse {
        UnifiedSnapshot.response(jobs, nextCursor: nextCursor)
    }

    package func follow(_ call: DialectCall) throws(GatewayError) -> FollowWish { FollowWish(call) }

    package func describe(_ call: DialectCall) throws(GatewayError) -> DialectResponse {
        throw GatewayError(.notFound, "There is nothing at this path.")
    }
}

/// How responses of the dialect behave, apart from their bytes.
package struct DialectTraits: Sendable {
    package var head: HeadCommitment
    /// What is written when nothing was for a while, as bytes that the dialect's clients skip.
    package var heartbeat: StaticString
    /// Every event in a network write of its own, for clients that split each read at newlines.
    package var isolatedWrites: Bool
    package var streamMediaType: String
    package var defaultDelivery: Delivery
    package var allowedDelivery: Set<Delivery>
    /// Streams may end without a terminal event at drain because clients resume by id: `Last-Event-ID` is understood.
    package var resumable: Bool
    /// Whether the stream is asked for by the body alone; else also by `Accept: text/event-stream`.
    package var streamByBodyOnly: Bool
    /// A request that does not say how it wants to be answered is streamed.
    package var streamsByDefault: Bool
    /// Sent with streams, beside what every stream has.
    package var streamHeaders: HTTPFields
    /// Which header fields tell a client where it stands within its limits.
    package var rateLimitStyle: RateLimitStyle
    /// Before the job's end, for how long nobody may watch before the job is cancelled; nil: it continues.
    package var defaultDisconnectGraceMilliseconds: Int?
    /// Previews asked for where neither the request nor the route says; nil: none.
    package var defaultPartialImages: Int?
    /// Its requests are conversations, of which the route's `intent` says whether they want a picture.
    package var converses: Bool

    package init(
        head: HeadCommitment, heartbeat: StaticString, isolatedWrites: Bool = false,
        streamMediaType: String = "text/event-stream; charset=utf-8", defaultDelivery: Delivery = .inline,
        allowedDelivery: Set<Delivery> = [.inline], resumable: Bool = false, streamByBodyOnly: Bool = false,
        streamsByDefault: Bool = false, streamHeaders: HTTPFields = [:], rateLimitStyle: RateLimitStyle = .standard,
        defaultDisconnectGraceMilliseconds: Int? = nil, defaultPartialImages: Int? = nil, converses: Bool = false
    ) {
        self.head = head
        self.heartbeat = heartbeat
        self.isolatedWrites = isolatedWrites
        self.streamMediaType = streamMediaType
        self.defaultDelivery = defaultDelivery
        self.allowedDelivery = allowedDelivery
        self.resumable = resumable
        self.streamByBodyOnly = streamByBodyOnly
        self.streamsByDefault = streamsByDefault
        self.streamHeaders = streamHeaders
        self.rateLimitStyle = rateLimitStyle
        self.defaultDisconnectGraceMilliseconds = defaultDisconnectGraceMilliseconds
        self.defaultPartialImages = defaultPartialImages
        self.converses = converses
    }

    package enum RateLimitStyle: Sendable {
        /// `RateLimit-Policy` and `RateLimit`.
        case standard
        /// These, and `x-ratelimit-*` as OpenAI's SDKs know them.
        case openAI
    }

    package enum HeadCommitment: Sendable {
        /// Status, headers and first event within 50 ms of acceptance.
        case now
        /// At the upstream's own head or after the route's `commit`, so that a refusal keeps its status.
        case commit
    }
}

/// What events carry: the bytes, a URL, or both.
package enum Delivery: String, Sendable, CaseIterable {
    case inline, url, both
    package var carriesPayload: Bool { self != .url }
    package var carriesURL: Bool { self != .inline }
}

package struct DialectRequest: Sendable {
    package let headers: HTTPFields
    /// Decoded query items in order.
    package let query: [(name: String, value: String)]
    /// What stands for each `{name}` of the endpoint's path, as sent.
    package let parameters: [String: String]
    package let body: ByteBuffer

    package init(
        headers: HTTPFields, query: [(name: String, value: String)] = [], parameters: [String: String] = [:],
        body: ByteBuffer
    ) {
        self.headers = headers
        self.query = query
        self.parameters = parameters
        self.body = body
    }
}

package struct DecodedRequest: Sendable {
    package var image: ImageRequest
    /// How the client asked to be answered; nil: as the route says.
    package var mode: ResponseMode?
    /// How long a client that waits does so at most, in milliseconds; then it is answered with the job as it stands. Nil: to the end.
    package var patienceMilliseconds: Int?
    /// What the client asked to have its pictures delivered as, where the dialect can; nil: as the route says.
    package var delivery: Delivery?
    /// The upstream that the client would like best: a name or a provider's, among those of the route. Others take its place where it
    /// cannot be asked.
    package var preferredUpstream: String?

    package init(
        image: ImageRequest, mode: ResponseMode? = nil, patienceMilliseconds: Int? = nil, delivery: Delivery? = nil,
        preferredUpstream: String? = nil
    ) {
        self.image = image
        self.mode = mode
        self.patienceMilliseconds = patienceMilliseconds
        self.delivery = delivery
        self.preferredUpstream = preferredUpstream
    }
}

package enum ResponseMode: String, Sendable { case stream, wait, queue }

/// What an encoder may know besides the events.
package struct EncoderContext: Sendable {
    package let job: JobID
    /// As decoded, after the route's defaults.
    package let request: ImageRequest
    package let delivery: Delivery
    /// Absolute base for links, without trailing slash, from `public_url`.
    package let publicURL: String
    package let createdAt: Timestamp
    /// What a client is told to wait before it reconnects, in dialects that say so.
    package let retryMilliseconds: Int
    /// The call that is answered; nil where the job is followed by the gateway's own paths.
    package let call: DialectCall?
    /// What the client of a stream has seen of the first event that it is told; nil: nothing.
    package let seen: EventPart?

    package init(
        job: JobID, request: ImageRequest, delivery: Delivery, publicURL: String, createdAt: Timestamp,
        retryMilliseconds: Int = 2000, call: DialectCall? = nil, seen: EventPart? = nil
    ) {
        self.job = job
        self.request = request
        self.delivery = delivery
        self.publicURL = publicURL
        self.createdAt = createdAt
        self.retryMilliseconds = retryMilliseconds
        self.call = call
        self.seen = seen
    }
}

/// Turns a job's events into the bytes of one response. A value per response; sees every event in order.
package protocol DialectEncoder: Sendable {
    /// Appends the event's frames, or nothing where the dialect has no word for it.
    mutating func encode(_ event: SequencedEvent, into out: inout FrameOutput)

    /// Takes note of an event that the client has seen already.
    mutating func skip(_ event: SequencedEvent)

    /// The start of a resumed stream whose history is gone, in dialects that resume; others write nothing.
    mutating func encode(_ gap: LogGap, into out: inout FrameOutput)

    /// The stream ends before the job does (drain, memory): a last frame in dialects that cannot resume.
    mutating func encodeInterruption(_ error: GatewayError, into out: inout FrameOutput)
}

extension DialectEncoder {
    package mutating func skip(_ event: SequencedEvent) {
        var discarded = FrameOutput()
        self.encode(event, into: &discarded)
    }
}

/// Folds a job's events into one answer.
package protocol DialectAnswerEncoder: Sendable {
    mutating func add(_ event: SequencedEvent)
    /// Called once: after the terminal event, or earlier where the client asks where the job stands or has waited long enough. `status`
    /// matters only while the head is not written.
    mutating func finish(into out: inout FrameOutput) -> DialectAnswerHead
}

package struct DialectAnswerHead: Sendable {
    package var status: Int
    package var headers: HTTPFields
    /// Where the answer reports a failure.
    package var error: GatewayError?

    package init(status: Int, headers: HTTPFields, error: GatewayError? = nil) {
        self.status = status
        self.headers = headers
        self.error = error
    }
}

package struct DialectResponse: Sendable {
    package var status: Int
    package var headers: HTTPFields
    package var body: ByteBuffer

    package init(status: Int, headers: HTTPFields, body: ByteBuffer) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Why a resumed stream cannot continue where it stopped.
package struct LogGap: Sendable {
    package enum Reason: String, Sendable {
        case unknownID = "unknown_id"
        case aged, restarted, spilled
    }
    package var reason: Reason
    package var oldest: EventSequence
    package var snapshot: JobSnapshot

    package init(reason: Reason, oldest: EventSequence, snapshot: JobSnapshot) {
        self.reason = reason
        self.oldest = oldest
        self.snapshot = snapshot
    }
}
