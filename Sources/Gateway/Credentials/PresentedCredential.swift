import HTTPTypes
import ImageGeneration
import StreamCodecs

/// The one credential that a request shows. Whatever carries it, it is read here and nowhere else, so that what holds for it in one
/// place holds in all.
struct PresentedCredential: Equatable, Sendable {
    enum Carrier: String, Sendable { case header, cookie, query }

    let text: String
    let carrier: Carrier

    static let ticketCookie = "safelight_ticket"
    static let ticketParameter = "ticket"
    /// Of `Authorization`, in lower case: `Key` is fal's, `Token` Replicate's older clients'.
    private static let schemes: Set<String> = ["bearer", "key", "token"]

    /// Nil where the request shows none. One that cannot be read counts as one that is wrong.
    /// - Throws: `invalid_parameter` where there are several, even if they are the same: what counts must not depend on who reads.
    init?(_ scope: RequestScope) throws(GatewayError) {
        var found: [(String, Carrier)] = []
        for line in scope.headers[values: .authorization] { found.append((Self.value(authorization: line), .header)) }
        for name in [HTTPField.Name.xAPIKey, .apiKey] {
            for line in scope.headers[values: name] { found.append((Self.trimmed(line), .header)) }
        }
        if scope.isOfOwnPage {
            for value in scope.cookies(Self.ticketCookie) { found.append((value, .cookie)) }
        }
        if Self.isEventStream(scope) {
            for item in scope.query where item.name == Self.ticketParameter { found.append((item.value, .query)) }
        }
        guard found.count <= 1 else {
            throw GatewayError(.invalidParameter, "Several credentials; send one.", parameter: "Authorization")
        }
        guard let (text, carrier) = found.first else { return nil }
        self.text = text
        self.carrier = carrier
    }

    /// An `EventSource` can send no header, so the events of one job may be asked for with a ticket in the URL. Nothing else may: URLs
    /// are written to logs on their way.
    private static func isEventStream(_ scope: RequestScope) -> Bool {
        guard scope.method == .get || scope.method == .head, let call = JobEndpoint.Call(path: scope.path) else {
            return false
        }
        if case .events = call { return true }
        return false
    }

    /// Empty for a scheme that is none of ours.
    private static func value(authorization line: String) -> String {
        let line = Self.trimmed(line)
        guard let space = line.firstIndex(of: " "), Self.schemes.contains(line[..<space].lowercased()) else {
            return ""
        }
        return Self.trimmed(line[space...])
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        var rest = Substring(text)
        while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
        while let last = rest.last, last == " " || last == "\t" { rest.removeLast() }
        return String(rest)
    }
}

extension RequestScope {
    /// Values of the cookie of that name, in the order they were sent.
    func cookies(_ name: String) -> [String] {
        var values: [String] = []
        for line in self.headers[values: .cookie] {
            for item in line.split(separator: ";") {
                let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2, parts[0].filter({ $0 != " " && $0 != "\t" }) == name else { continue }
                values.append(String(parts[1]).filter { $0 != "\"" && $0 != " " })
            }
        }
        return values
    }

    /// Whether cookies count: a browser sends them for pages of others too.
    var isOfOwnPage: Bool {
        switch self.headers[.fetchSite] {
        case "same-origin", "none", nil: break
        default: return false
        }
        guard let origin = self.headers[.origin] else { return true }
        return self.isOwn(origin: origin)
    }

    /// Whether the origin is that of the gateway's own pages, as this client reaches them.
    func isOwn(origin: String) -> Bool {
        origin == self.edge.ownOrigin || origin == "http://\(self.authority)" || origin == "https://\(self.authority)"
    }
}

extension HTTPField.Name {
    static let xAPIKey = HTTPField.Name(CredentialFieldName.xAPIKey)
    static let apiKey = HTTPField.Name(CredentialFieldName.apiKey)

    private enum CredentialFieldName: String {
        case xAPIKey = "x-api-key"
        /// OpenAI's clients for Azure.
        case apiKey = "api-key"
    }

    /// The names above are valid tokens, so the fallback is never used.
    private init(_ name: CredentialFieldName) { self = HTTPField.Name(name.rawValue) ?? .server }
}
