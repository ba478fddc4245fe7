import ImageGeneration
import NIOCore
import StreamCodecs

/// What an upstream said about a failure, from an HTTP error, an error event or a failed job, in any of the usual shapes:
/// OpenAI's nested and flat ones, Google's, alone or in a list, FastAPI's `detail`, RFC 9457's `title`, a bare string.
struct UpstreamErrorReport: Sendable {
    var code: String?
    var type: String?
    /// In the upstream's spelling.
    var parameter: String?
    var message: String?
    /// Of the response, or as the body says where the response was a success.
    var status: Int?
    var retryAfterMilliseconds: Int?
    /// The word it is judged by in place of code and type, where somebody knows better what those mean.
    var meaning: String?

    init(
        code: String? = nil, type: String? = nil, parameter: String? = nil, message: String? = nil, status: Int? = nil,
        retryAfterMilliseconds: Int? = nil
    ) {
        self.code = code
        self.type = type
        self.parameter = parameter
        self.message = message
        self.status = status
        self.retryAfterMilliseconds = retryAfterMilliseconds
    }

    /// Bytes of an error body that are read; the rest is not waited for.
    static let maximumBodyBytes = 256 << 10

    private static let codePaths = [
        "error.code", "code", "error.inner_error.code", "error_type", "name", "*.error.code",
    ]
    private static let typePaths = [
        "error.type", "error.details.*.reason", "error.status", "*.error.status", "detail.*.type", "type",
    ]
    private static let parameterPaths = ["error.param", "param"]
    private static let messagePaths = [
        "error.message", "message", "errors", "error", "detail", "detail.*.msg", "detail.message", "error_message",
        "errors.*", "title", "*.error.message",
    ]
    private static let retryPaths = ["error.details.*.retryDelay"]
    private static let locationPath = "detail.*.loc.*"
    private static let paths = JSONFieldPaths(
        codePaths + typePaths + parameterPaths + messagePaths + retryPaths + [locationPath])

    /// Reads a body; one that is not JSON leaves a report that knows only the status.
    init(body: ByteBuffer, status: Int?, retryAfterMilliseconds: Int? = nil) {
        self.init(status: status, retryAfterMilliseconds: retryAfterMilliseconds)
        var scanner = JSONFieldScanner(Self.paths, maximumNesting: 64)
        scanner.begin()
        body.withUnsafeReadableBytes { scanner.scan($0) }
        scanner.end()
        guard scanner.error == nil else { return }
        var base = 0
        func first(_ count: Int) -> String? {
            defer { base += count }
            return (base..<base + count).lazy.compactMap { scanner.text($0, in: body) }.first
        }
        self.code = first(Self.codePaths.count)
        self.type = first(Self.typePaths.count)
        self.parameter = first(Self.parameterPaths.count)
        self.message = first(Self.messagePaths.count)
        let delay = first(Self.retryPaths.count).flatMap(RetryAfter.milliseconds(duration:))
        self.retryAfterMilliseconds = self.retryAfterMilliseconds ?? delay
        if self.parameter == nil {
            let location = scanner.all(base).filter { $0.kind == .string }.last
            self.parameter = location.flatMap { JSONValueReader.string($0, in: body) }
        }
        if self.type == "error" { self.type = nil }
        if let number = self.code.flatMap({ Int($0) }), (400...599).contains(number) {
            self.status = status.map { $0 < 400 ? number : $0 } ?? number
            self.code = nil
        }
    }
}

extension JSONFieldScanner {
    /// First string of a path that is not empty, or a number's own text.
    func text(_ path: Int, in document: ByteBuffer) -> String? {
        for field in self.all(path) {
            switch field.kind {
            case .string:
                if let text = JSONValueReader.string(field, in: document), !text.isEmpty { return text }
            case .number:
                return String(buffer: JSONValueReader.slice(field, in: document))
            default: continue
            }
        }
        return nil
    }
}

extension UpstreamErrorReport {
    /// - Parameters:
    ///   - billed: what the failed work may have cost, as far as the exchange knows.
    ///   - parameters: upstream's name → unified name of the parameters whose values came from the client.
    ///   - secret: never shown.
    ///   - readsWords: look for a refusal in the words of the message, where codes are free text.
    func gatewayError(
        billed: GatewayError.Billed, parameters: [String: String] = [:], hiding secret: String? = nil,
        readsWords: Bool = false
    ) -> GatewayError {
        let shown = UpstreamText.clean(self.message, hiding: secret)
        let parameter = self.parameter.flatMap {
            parameters[Self.baseName($0)] ?? $0.split(separator: ".").last.flatMap { parameters[Self.baseName($0)] }
        }
        let kind = self.kind(namesParameter: parameter != nil, readsWords: readsWords)
        var error = GatewayError(
            kind, Self.message(for: kind, shown: shown, status: self.status), billed: billed,
            upstreamStatus: self.status,
            parameter: kind == .invalidParameter ? parameter : nil,
            cause: "code=\(UpstreamText.label(self.code)) type=\(UpstreamText.label(self.type))")
        if kind == .upstreamRateLimited || kind == .upstreamError {
            error.retryAfterMilliseconds = self.retryAfterMilliseconds
        }
        return error
    }

    /// By code, then type, then words, then status.
    private func kind(namesParameter: Bool, readsWords: Bool) -> GatewayError.Code {
        if let kind = self.meaning.flatMap(Self.kind(ofWord:)) { return kind }
        if let kind = self.code.flatMap(Self.kind(ofWord:)) ?? self.type.flatMap(Self.kind(ofWord:)) { return kind }
        if readsWords, Self.readsAsRefusal(self.message) || Self.readsAsRefusal(self.code) { return .refused }
        switch self.status {
        case 401, 403: return .providerAuth
        case 402: return .providerQuota
        case 429: return .upstreamRateLimited
        case 400, 404, 422: return namesParameter ? .invalidParameter : .upstreamError
        default: return namesParameter && self.status == nil ? .invalidParameter : .upstreamError
        }
    }

    private static func kind(ofWord word: String) -> GatewayError.Code? {
        guard word.utf8.count <= 128 else { return nil }
        let word = word.lowercased()
        switch word {
        case "moderation_blocked", "content_policy_violation", "content_policy", "contentfilter", "content_filter",
            "content_filtered", "content_moderation", "image_content_policy_violation", "responsibleaipolicyviolation",
            "outputimagesensitivecontentdetected", "inputtextsensitivecontentdetected", "prohibited_content":
            return .refused
        case "invalid_api_key", "invalid_authentication", "authentication_error", "permission_error",
            "permission_denied", "account_deactivated", "organization_not_verified", "unauthenticated",
            "api_key_invalid", "service_disabled":
            return .providerAuth
        case "rate_limit_exceeded", "rate_limit_error", "too_many_requests", "requests", "tokens",
            "resource_exhausted":
            return .upstreamRateLimited
        case "server_error", "internal_error", "internal_server_error", "overloaded_error", "unavailable", "internal":
            return .upstreamError
        default:
            return word.contains("insufficient_quota") || word.contains("billing") || word.contains("spend_limit")
                ? .providerQuota : nil
        }
    }

    static func readsAsRefusal(_ text: String?) -> Bool {
        guard let text = text?.prefix(2000).lowercased() else { return false }
        let words = [
            "content policy", "content_policy", "safety system", "safety filter", "moderat", "nsfw", "policy violation",
            "usage policies", "content filter", "content_filter",
        ]
        return words.contains { text.contains($0) }
    }

    /// `image[0]`, `images.0.url` and `body.size` name `image`, `images` and `body`; where that is not the client's,
    /// the last name counts, as in `tools[0].size`.
    private static func baseName(_ name: some StringProtocol) -> String {
        String(name.prefix { $0 != "[" && $0 != "." }.prefix(64))
    }

    private static func message(for kind: GatewayError.Code, shown: String?, status: Int?) -> String {
        switch kind {
        case .providerAuth: "The upstream did not accept the gateway's credentials."
        case .providerQuota: "The gateway's account at the upstream has no quota left."
        case .upstreamRateLimited: "The upstream is limiting requests; try again later."
        case .refused: shown ?? "The upstream's moderation refused the request."
        case .invalidParameter: shown ?? "The upstream does not accept this value."
        default: shown ?? status.map { "The upstream answered with status \($0)." } ?? "The upstream reported an error."
        }
    }

    /// What a request answered with this status may have cost: refusals nothing; other server errors perhaps.
    static func billed(forStatus status: Int) -> GatewayError.Billed {
        status < 500 || status == 503 ? .no : .maybe
    }
}
