import HTTPTypes
import ImageGeneration
import StreamCodecs

/// `{"detail"}`: a list for what is wrong with the input, with 422; a text with `error_type` for everything else.
enum FalQueueErrorBody {
    private static let requestIDName = HTTPField.Name("x-fal-request-id")!
    private static let errorTypeName = HTTPField.Name("x-fal-error-type")!

    /// Python's client takes a 502, 503 or 504 without the request's id for a proxy's, and sends the call again.
    static func headers(requestID: String) -> HTTPFields {
        [.contentType: "application/json", self.requestIDName: requestID]
    }

    static func response(_ error: GatewayError, requestID: String) -> DialectResponse {
        var headers = ErrorHeaders.make(error, contentType: "application/json")
        headers[self.requestIDName] = requestID
        headers[self.errorTypeName] = self.type(error.code)
        var json = JSONWriter()
        json.beginObject()
        switch error.code {
        case .invalidParameter, .refused: self.writeDetails(error, into: &json)
        default:
            json.field("detail", error.message)
            json.field("error_type", self.type(error.code))
        }
        json.endObject()
        return DialectResponse(status: self.status(error.code), headers: headers, body: json.buffer)
    }

    /// A result that was asked for too early.
    static func notReady(requestID: String) -> DialectResponse {
        var json = JSONWriter()
        json.beginObject()
        json.field("detail", staticText: "Request is still in progress")
        json.endObject()
        return DialectResponse(status: 400, headers: self.headers(requestID: requestID), body: json.buffer)
    }

    private static func writeDetails(_ error: GatewayError, into json: inout JSONWriter) {
        json.key("detail")
        json.beginArray()
        json.beginObject()
        json.key("loc")
        json.beginArray()
        json.value(staticText: "body")
        if let parameter = error.parameter { json.value(parameter) }
        json.endArray()
        json.field("msg", error.message)
        json.field("type", error.code == .refused ? "content_policy_violation" : "value_error")
        json.endObject()
        json.endArray()
    }

    /// 499 for what was cancelled: clients send again what was answered with 409.
    private static func status(_ code: GatewayError.Code) -> Int {
        switch code {
        case .invalidParameter, .refused: 422
        case .cancelled: 499
        default: code.status
        }
    }

    /// The API's word where it has one, else ours.
    static func type(_ code: GatewayError.Code) -> String {
        switch code {
        case .cancelled: "client_cancelled"
        case .invalidJSON, .unsupportedParameter, .unsupportedMediaType: "bad_request"
        case .upstreamTimeout, .upstreamStalled, .deadlineExceeded: "request_timeout"
        case .upstreamUnreachable: "runner_connection_error"
        case .upstreamTruncated, .upstreamProtocol, .upstreamTooLarge, .noImage: "runner_incomplete_response"
        case .upstreamError, .providerAuth, .providerQuota: "runner_server_error"
        case .upstreamUnavailable, .upstreamRateLimited, .overloaded: "runner_scheduling_failure"
        case .interrupted, .upstreamRemoved, .draining: "runner_disconnected"
        case .internal: "internal_error"
        case .refused: "content_policy_violation"
        case .invalidParameter, .tooLarge, .uriTooLong, .headersTooLarge, .requestTimeout, .unauthorized, .forbidden,
            .notFound, .methodNotAllowed, .conflict, .idempotencyMismatch, .rateLimited, .quotaExceeded,
            .storageUnavailable, .storageFull, .resultURLRefused, .imageRefused:
            code.rawValue
        }
    }
}
