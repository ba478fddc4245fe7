/// The one error of the gateway. A failure answers four questions: which code, whose fault, may a retry help, what may it
/// have cost. Only dialects turn it into bytes.
package struct GatewayError: Error, Sendable {
    package let code: Code
    /// Safe to show to a client: no header, host or key; upstream text only cut and cleaned.
    package let message: String
    package var billed: Billed
    /// How long a client should wait before it tries again, in milliseconds.
    package var retryAfterMilliseconds: Int?
    /// The status the upstream answered with, where it answered at all.
    package var upstreamStatus: Int?
    /// The request parameter at fault, in the spelling of the client's dialect.
    package var parameter: String?
    /// Where in the request body the fault lies, both from 1.
    package var position: (line: Int, column: Int)?
    /// Stays inside: for logs, never for a client.
    package var cause: String?

    package init(
        _ code: Code, _ message: String, billed: Billed = .no, retryAfterMilliseconds: Int? = nil,
        upstreamStatus: Int? = nil, parameter: String? = nil, position: (line: Int, column: Int)? = nil,
        cause: String? = nil
    ) {
        self.code = code
        self.message = message
        self.billed = billed
        self.retryAfterMilliseconds = retryAfterMilliseconds
        self.upstreamStatus = upstreamStatus
        self.parameter = parameter
        self.position = position
        self.cause = cause
    }

    package var source: Source { self.code.source }
    package var isRetryable: Bool { self.code.isRetryable && self.billed == .no }

    /// Whose fault it is.
    package enum Source: String, Sendable { case client, upstream, gateway }

    /// What the failed work may have cost.
    package enum Billed: String, Sendable { case no, maybe, yes }

    /// The closed list of `docs/errors.md`.
    package enum Code: String, Sendable, CaseIterable {
        case invalidJSON = "invalid_json"
        case invalidParameter = "invalid_parameter"
        case unsupportedParameter = "unsupported_parameter"
        case unsupportedMediaType = "unsupported_media_type"
        case tooLarge = "too_large"
        case uriTooLong = "uri_too_long"
        case headersTooLarge = "headers_too_large"
        case requestTimeout = "request_timeout"
        case unauthorized
        case forbidden
        case notFound = "not_found"
        case methodNotAllowed = "method_not_allowed"
        case conflict
        case idempotencyMismatch = "idempotency_mismatch"
        case rateLimited = "rate_limited"
        case quotaExceeded = "quota_exceeded"
        case overloaded
        case draining
        case storageUnavailable = "storage_unavailable"
        case upstreamUnavailable = "upstream_unavailable"
        case storageFull = "storage_full"
        case upstreamUnreachable = "upstream_unreachable"
        case upstreamTimeout = "upstream_timeout"
        case upstreamStalled = "upstream_stalled"
        case upstreamTruncated = "upstream_truncated"
        case upstreamProtocol = "upstream_protocol"
        case upstreamTooLarge = "upstream_too_large"
        case noImage = "no_image"
        case upstreamRateLimited = "upstream_rate_limited"
        case upstreamError = "upstream_error"
        case providerAuth = "provider_auth"
        case providerQuota = "provider_quota"
        case refused
        case resultURLRefused = "result_url_refused"
        case imageRefused = "image_refused"
        case deadlineExceeded = "deadline_exceeded"
        case interrupted
        case upstreamRemoved = "upstream_removed"
        case cancelled
        case `internal`
    }
}

extension GatewayError.Code {
    package var source: GatewayError.Source {
        switch self {
        case .invalidJSON, .invalidParameter, .unsupportedParameter, .unsupportedMediaType, .tooLarge, .uriTooLong,
            .headersTooLarge, .requestTimeout, .unauthorized, .forbidden, .notFound, .methodNotAllowed, .conflict,
            .idempotencyMismatch, .cancelled:
            .client
        case .rateLimited, .quotaExceeded, .overloaded, .draining, .storageUnavailable, .upstreamUnavailable,
            .storageFull, .resultURLRefused, .imageRefused, .deadlineExceeded, .interrupted, .upstreamRemoved,
            .internal:
            .gateway
        case .upstreamUnreachable, .upstreamTimeout, .upstreamStalled, .upstreamTruncated, .upstreamProtocol,
            .upstreamTooLarge, .noImage, .upstreamRateLimited, .upstreamError, .providerAuth, .providerQuota, .refused:
            .upstream
        }
    }

    /// Whether the same request may succeed later; what it may have cost decides too, see ``GatewayError/isRetryable``.
    package var isRetryable: Bool {
        switch self {
        case .requestTimeout, .rateLimited, .quotaExceeded, .overloaded, .draining, .storageUnavailable,
            .upstreamUnavailable, .storageFull, .upstreamUnreachable, .upstreamTimeout, .upstreamStalled,
            .upstreamTruncated, .upstreamProtocol, .upstreamTooLarge, .noImage, .upstreamRateLimited, .upstreamError,
            .deadlineExceeded, .interrupted, .upstreamRemoved, .internal:
            true
        default: false
        }
    }

    /// The HTTP status where the failure is known before the first byte of a response.
    package var status: Int {
        switch self {
        case .invalidJSON, .invalidParameter, .unsupportedParameter, .refused: 400
        case .unauthorized: 401
        case .forbidden: 403
        case .notFound: 404
        case .methodNotAllowed: 405
        case .requestTimeout: 408
        case .conflict, .cancelled: 409
        case .tooLarge: 413
        case .uriTooLong: 414
        case .unsupportedMediaType: 415
        case .idempotencyMismatch: 422
        case .rateLimited, .quotaExceeded: 429
        case .headersTooLarge: 431
        case .internal: 500
        case .upstreamUnreachable, .upstreamTruncated, .upstreamProtocol, .upstreamTooLarge, .noImage, .upstreamError,
            .providerAuth, .providerQuota, .resultURLRefused, .imageRefused:
            502
        case .overloaded, .draining, .storageUnavailable, .upstreamUnavailable, .storageFull, .upstreamRateLimited,
            .interrupted, .upstreamRemoved:
            503
        case .upstreamTimeout, .upstreamStalled, .deadlineExceeded: 504
        }
    }
}
