import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore

/// Which pages of other origins may read answers (CORS), and what a page that may not can do all the same: nothing that costs.
struct CrossOriginPolicy: Sendable {
    /// Compared byte by byte.
    let origins: Set<String>

    /// How long a browser need not ask again, in seconds: the most that any of them takes.
    private static let maximumAge = "7200"
    /// Bytes of `Access-Control-Request-Headers` that are repeated.
    private static let maximumRequestHeaders = 2048
    private static let exposed =
        "x-request-id, x-safelight-job-id, retry-after, retry-after-ms, ratelimit, ratelimit-policy, "
        + "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
        + "x-ratelimit-limit-images, x-ratelimit-remaining-images, x-ratelimit-reset-images, x-should-retry, "
        + "preference-applied, server-timing, location, x-fal-request-id, x-fal-error-type, x-vercel-ai-ui-message-stream"

    func allows(_ origin: String?) -> Bool { origin.map(self.origins.contains) ?? false }

    /// What every answer says, errors too: without it a page sees no more of an error than that there was one.
    func write(_ origin: String?, into fields: inout HTTPFields) {
        guard !self.origins.isEmpty else { return }
        // Also to those who name no origin: caches must not give their answer to a page.
        fields[.vary] = "Origin"
        guard let origin, self.allows(origin) else { return }
        fields[.accessControlAllowOrigin] = origin
        fields[.accessControlExposeHeaders] = Self.exposed
    }

    /// The answer to a browser that asks before it calls; nil where the request is no such question, or of another origin.
    func preflight(_ scope: RequestScope) -> HTTPFields? {
        guard scope.method == .options, self.allows(scope.headers[.origin]),
            scope.headers[.accessControlRequestMethod] != nil
        else { return nil }
        var fields = scope.responseHeaders
        fields[.vary] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        fields[.accessControlAllowMethods] = "GET, HEAD, POST, PUT, DELETE"
        fields[.accessControlMaxAge] = Self.maximumAge
        // Stock SDKs send header fields of their own in browsers; a fixed list would refuse the next version's.
        if let asked = scope.headers[.accessControlRequestHeaders], Self.isFieldList(asked) {
            fields[.accessControlAllowHeaders] = asked
        }
        return fields
    }

    private static func isFieldList(_ text: String) -> Bool {
        (1...Self.maximumRequestHeaders).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x20, 0x2C, 0x2D, 0x2E, 0x5F: true
                default: false
                }
            }
    }

    // MARK: Requests that a page can send without asking

    /// Refuses to create for another site's page what its browser would send without a preflight: a form.
    /// - Throws: `unsupported_media_type`.
    static func refuseForeignForm(_ scope: RequestScope) throws(GatewayError) {
        guard let origin = scope.headers[.origin], Self.isSimple(scope.headers[.contentType]) else { return }
        if scope.edge.origins.allows(origin) || origin == scope.edge.ownOrigin { return }
        switch scope.headers[.fetchSite] {
        case "same-origin", "none": return
        case nil where origin == "http://\(scope.authority)" || origin == "https://\(scope.authority)": return
        default:
            throw GatewayError(
                .unsupportedMediaType, "A page of another origin may send application/json only.")
        }
    }

    /// Media types that a form can have, and none at all.
    private static func isSimple(_ contentType: String?) -> Bool {
        guard let contentType else { return true }
        switch contentType.prefix(while: { $0 != ";" }).lowercased().filter({ $0 != " " && $0 != "\t" }) {
        case "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain": return true
        default: return false
        }
    }
}
