import HTTPTypes
import ImageGeneration

/// Headers that accompany a failure in every dialect.
enum ErrorHeaders {
    static let shouldRetry = HTTPField.Name("x-should-retry")!
    static let retryAfterMilliseconds = HTTPField.Name("retry-after-ms")!

    /// - `x-should-retry: false` where a repetition cannot help or may cost twice: stock SDKs retry 409 and every 5xx.
    /// - `Retry-After` in whole seconds of at least 1, on every 429 and 503 and wherever a wait is known.
    static func make(_ error: GatewayError, contentType: String) -> HTTPFields {
        var headers: HTTPFields = [.contentType: contentType]
        if !error.isRetryable { headers[self.shouldRetry] = "false" }
        if let wait = self.wait(error) {
            headers[.retryAfter] = String(max(1, (wait + 999) / 1000))
            headers[self.retryAfterMilliseconds] = String(wait)
        }
        if error.code == .unauthorized { headers[.wwwAuthenticate] = "Bearer realm=\"safelight\"" }
        return headers
    }

    /// Milliseconds a client should wait; a guess where the status demands a header and nobody named a time.
    private static func wait(_ error: GatewayError) -> Int? {
        if let wait = error.retryAfterMilliseconds { return max(0, wait) }
        switch error.code.status {
        case 429, 503: return error.code == .storageFull ? 30_000 : 1000
        default: return nil
        }
    }
}
