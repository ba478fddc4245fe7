import ImageGeneration
import NIOCore
import StreamCodecs

/// `{"error":{"message","type","param","code"}}`, the form that OpenAI's SDKs turn into exceptions.
enum OpenAIErrorBody {
    static func response(_ error: GatewayError) -> DialectResponse {
        var json = JSONWriter()
        self.write(error, into: &json)
        return DialectResponse(
            status: error.code.status, headers: ErrorHeaders.make(error, contentType: "application/json"),
            body: json.buffer)
    }

    static func write(_ error: GatewayError, into json: inout JSONWriter) {
        json.beginObject()
        self.writeMember(error, into: &json)
        json.endObject()
    }

    /// The `error` member of an open object.
    static func writeMember(_ error: GatewayError, into json: inout JSONWriter) {
        json.key("error")
        json.beginObject()
        json.field("message", error.message)
        json.field("type", self.type(error.code))
        json.field("param", orNull: error.parameter)
        json.field("code", self.code(error.code))
        json.endObject()
    }

    static func type(_ code: GatewayError.Code) -> String {
        switch code {
        case .unauthorized: "authentication_error"
        case .forbidden: "permission_error"
        case .rateLimited, .quotaExceeded: "rate_limit_error"
        case .invalidJSON, .invalidParameter, .unsupportedParameter, .unsupportedMediaType, .tooLarge, .uriTooLong,
            .headersTooLarge, .requestTimeout, .notFound, .methodNotAllowed, .conflict, .idempotencyMismatch, .refused,
            .cancelled:
            "invalid_request_error"
        case .overloaded, .draining, .storageUnavailable, .upstreamUnavailable, .storageFull, .upstreamUnreachable,
            .upstreamTimeout, .upstreamStalled, .upstreamTruncated, .upstreamProtocol, .upstreamTooLarge, .noImage,
            .upstreamRateLimited, .upstreamError, .providerAuth, .providerQuota, .resultURLRefused, .imageRefused,
            .deadlineExceeded, .interrupted, .upstreamRemoved, .internal:
            "server_error"
        }
    }

    /// OpenAI's word where it has one, else ours.
    static func code(_ code: GatewayError.Code) -> String {
        switch code {
        case .invalidParameter: "invalid_value"
        case .unauthorized: "invalid_api_key"
        case .rateLimited: "rate_limit_exceeded"
        case .quotaExceeded: "insufficient_quota"
        case .refused: "moderation_blocked"
        case .invalidJSON, .unsupportedParameter, .unsupportedMediaType, .tooLarge, .uriTooLong, .headersTooLarge,
            .requestTimeout, .forbidden, .notFound, .methodNotAllowed, .conflict, .idempotencyMismatch, .overloaded,
            .draining, .storageUnavailable, .upstreamUnavailable, .storageFull, .upstreamUnreachable, .upstreamTimeout,
            .upstreamStalled, .upstreamTruncated, .upstreamProtocol, .upstreamTooLarge, .noImage, .upstreamRateLimited,
            .upstreamError, .providerAuth, .providerQuota, .resultURLRefused, .imageRefused, .deadlineExceeded,
            .interrupted, .upstreamRemoved, .cancelled, .internal:
            code.rawValue
        }
    }
}
