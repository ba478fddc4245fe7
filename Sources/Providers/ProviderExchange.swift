package import HTTPTypes
package import ImageGeneration
package import NIOCore

/// One job's conversation with an upstream, as a state machine without I/O, clock or logger.
///
/// The driver calls one method at a time, on one thread, performs the returned actions in order, and makes no further call
/// once ``ExchangeAction/finish(_:)`` was returned. Whatever arrives for a call that the exchange gave up is dropped by
/// the driver.
package protocol ProviderExchange {
    mutating func start(into actions: inout ExchangeActions)
    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions)
    /// `bytes` are valid during the call only.
    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions)
    /// The response of `call` is whole.
    mutating func ended(call: Int, into actions: inout ExchangeActions)
    /// The call failed in transport; `error` is already typed. What it may have cost so far is in its `billed`.
    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions)
    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions)
    /// The job is cancelled: the exchange asks for whatever tells the upstream so, within the driver's 10 seconds, and
    /// then finishes. An exchange that has nothing to tell finishes at once.
    mutating func cancel(into actions: inout ExchangeActions)
}

package typealias ExchangeActions = [ExchangeAction]

package enum ExchangeAction: Sendable {
    /// Make a request. `call` numbers are the exchange's own and never reused.
    indirect case send(ExchangeCall, call: Int)
    /// Give a call up; its connection is freed.
    case abandon(call: Int)
    case emit(UpstreamEvent)
    /// Call ``ProviderExchange/timerFired(_:into:)`` after the delay; the same number again replaces the timer.
    case wait(milliseconds: Int, timer: Int)
    /// The conversation is over. Nil: it ended well, all pictures were emitted. Last action.
    indirect case finish(GatewayError?)
}

/// What an upstream did, free of its spelling; the supervisor turns these into the job's events and keeps their order,
/// monotony and the single terminal.
package enum UpstreamEvent: Sendable {
    /// The upstream has taken the job, perhaps only into its queue: `total` starts now. Optional; implied by any other event.
    case accepted
    /// Text by which the job can be picked up again, for ``ProviderAdapter/makeExchange(resuming:for:)`` alone to
    /// read: the upstream's own id and whatever else later calls need. At most 8 KiB, without secrets; a later one
    /// replaces it. To be kept before the upstream is asked how the job stands.
    case handle(String)
    indirect case status(UpstreamStatus)
    /// `payload` is canonical; the supervisor adds the lease.
    case partialImage(
        imageIndex: Int, partialImageIndex: Int, attributes: UpstreamImageAttributes, payload: ByteBuffer)
    case textDelta(String)
    indirect case image(UpstreamImage)
    indirect case imageFailed(imageIndex: Int, GatewayError)
    /// For the whole conversation; added to what came with single images.
    indirect case usage(Usage)
    /// The upstream names the model that worked.
    case model(String)
    /// An event of a type this provider does not know was skipped; `type` is cut to 64 printable ASCII characters.
    case unknownEvent(type: String)
}

package struct UpstreamStatus: Sendable {
    package var stage: Stage
    /// 0…100 as the upstream says it for this job.
    package var progress: Int?
    package var queuePosition: Int?
    package var estimatedMilliseconds: Int?
    package var message: String?

    package init(
        stage: Stage, progress: Int? = nil, queuePosition: Int? = nil, estimatedMilliseconds: Int? = nil,
        message: String? = nil
    ) {
        self.stage = stage
        self.progress = progress
        self.queuePosition = queuePosition
        self.estimatedMilliseconds = estimatedMilliseconds
        self.message = message
    }
}

/// The upstream's words about a picture; nil where it says nothing.
package struct UpstreamImageAttributes: Hashable, Sendable {
    package var size: String?
    package var quality: String?
    package var background: String?
    package var outputFormat: String?
    /// Unix seconds.
    package var createdAt: Int64?

    package init(
        size: String? = nil, quality: String? = nil, background: String? = nil, outputFormat: String? = nil,
        createdAt: Int64? = nil
    ) {
        self.size = size
        self.quality = quality
        self.background = background
        self.outputFormat = outputFormat
        self.createdAt = createdAt
    }
}

package struct UpstreamImage: Sendable {
    package var imageIndex: Int
    package var attributes: UpstreamImageAttributes
    /// Canonical base64.
    package var payload: ByteBuffer
    package var usage: Usage?
    package var revisedPrompt: String?

    package init(
        imageIndex: Int, attributes: UpstreamImageAttributes, payload: ByteBuffer, usage: Usage? = nil,
        revisedPrompt: String? = nil
    ) {
        self.imageIndex = imageIndex
        self.attributes = attributes
        self.payload = payload
        self.usage = usage
        self.revisedPrompt = revisedPrompt
    }
}

package struct ExchangeCall: Sendable {
    package var method: HTTPRequest.Method
    package var url: String
    package var headers: HTTPFields
    package var body: [ByteBuffer]
    package var purpose: Purpose
    /// The exchange's own bound on the response body in bytes; the upstream's event bound applies besides.
    package var maximumResponseBytes: Int?
    /// The upstream sets to work when it has the request, and answers only when it is done. Default false.
    package var worksInSilence = false

    package init(
        method: HTTPRequest.Method, url: String, headers: HTTPFields = [:], body: [ByteBuffer] = [], purpose: Purpose,
        maximumResponseBytes: Int? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.purpose = purpose
        self.maximumResponseBytes = maximumResponseBytes
    }

    /// Decides time limits, what may be repeated, and whether the call can cost anything.
    package enum Purpose: Sendable {
        /// Starts work that is billed. Sent at most once.
        case submit
        /// Asks how the job stands.
        case status
        /// A stream of states of a job already submitted.
        case events
        /// Fetches what is finished.
        case result
        /// Fetches a picture by a URL the upstream named: no keys, host rules apply.
        case resultURL
        case cancel
    }
}

package struct ExchangeResponseHead: Sendable {
    package let status: Int
    package let headers: HTTPFields

    package init(status: Int, headers: HTTPFields) {
        self.status = status
        self.headers = headers
    }
}
