import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import NIOPosix
import Testing

@testable import Gateway

/// G10: exactly the configured origins, and no form of anybody else's.
@Suite struct CrossOriginPolicyTests {
    private static let allowed = ["https://app.example", "http://localhost:3000"]

    private static func scope(
        _ headers: HTTPFields, _ method: HTTPRequest.Method = .post, origins: [String] = allowed
    ) -> RequestScope {
        let head = HTTPRequest(
            method: method, scheme: "http", authority: "gateway.example:8080", path: "/v1/generate",
            headerFields: headers)
        let edge = EdgePolicy(
            proxies: TrustedProxies(networks: []), origins: CrossOriginPolicy(origins: Set(origins)),
            ownOrigin: "https://images.example")
        return RequestScope(
            Request(head: head, body: RequestBody(buffer: ByteBuffer())),
            connection: ClientConnection(eventLoop: MultiThreadedEventLoopGroup.singleton.any(), remoteAddress: nil),
            edge: edge)
    }

    private static let foreign = [
        "null", "*", "", "https://app.example/", "https://app.example:443", "https://app.example:8443",
        "http://app.example",
        "HTTPS://app.example", "https://APP.example", "https://app.example.evil.example", "https://evilapp.example",
        "https://app.example@evil.example", "https://evil.example/https://app.example", "https://app.exampl",
        "https://app.example.", "https://.app.example", "https://sub.app.example", "https://app_example",
        "https://appxexample",
        "http://localhost", "http://localhost:30000", "http://localhost:300", "http://localhost:3000.evil.example",
        "http://127.0.0.1:3000", "https://localhost:3000", "file://", "chrome-extension://abc",
        "https://app.example, null",
        "https://app.example ,", "https://xn--app.example",
    ]

    @Test(arguments: foreign) func noOtherOriginMayRead(_ origin: String) {
        let scope = Self.scope([.origin: origin])
        #expect(scope.responseHeaders[.accessControlAllowOrigin] == nil)
        #expect(scope.responseHeaders[.accessControlExposeHeaders] == nil)
        #expect(scope.responseHeaders[.vary] == "Origin")
        let preflight = Self.scope([.origin: origin, .accessControlRequestMethod: "POST"], .options)
        #expect(preflight.edge.origins.preflight(preflight) == nil)
    }

    @Test(arguments: allowed) func theseMay(_ origin: String) throws {
        let fields = Self.scope([.origin: origin]).responseHeaders
        #expect(fields[.accessControlAllowOrigin] == origin)
        #expect(fields[.vary] == "Origin")
        #expect(fields[.accessControlExposeHeaders]?.contains("retry-after") == true)
        #expect(fields[.accessControlAllowCredentials] == nil)
        let asked = "authorization,content-type,x-stainless-lang"
        let scope = Self.scope(
            [.origin: origin, .accessControlRequestMethod: "POST", .accessControlRequestHeaders: asked], .options)
        let answer = try #require(scope.edge.origins.preflight(scope))
        #expect(answer[.accessControlAllowOrigin] == origin)
        #expect(answer[.accessControlAllowHeaders] == asked)
        #expect(answer[.accessControlAllowMethods] == "GET, HEAD, POST, PUT, DELETE")
        #expect(answer[.vary] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
    }

    @Test func twoOriginsAreNone() {
        var headers: HTTPFields = [.origin: Self.allowed[0]]
        headers.append(HTTPField(name: .origin, value: Self.allowed[0]))
        #expect(Self.scope(headers).responseHeaders[.accessControlAllowOrigin] == nil)
    }

    @Test func whereNoneMayNothingIsSaid() {
        let fields = Self.scope([.origin: Self.allowed[0]], origins: []).responseHeaders
        #expect(fields[.accessControlAllowOrigin] == nil && fields[.vary] == nil)
    }

    @Test(arguments: ["", "x: y", String(repeating: "a", count: 3000)])
    func strangeRequestHeadersAreNotRepeated(_ asked: String) throws {
        let scope = Self.scope(
            [.origin: Self.allowed[0], .accessControlRequestMethod: "POST", .accessControlRequestHeaders: asked],
            .options)
        #expect(try #require(scope.edge.origins.preflight(scope))[.accessControlAllowHeaders] == nil)
    }

    @Test func everyAnswerHasSecurityHeaders() {
        let fields = Self.scope([:]).responseHeaders
        #expect(fields[.contentTypeOptions] == "nosniff")
        #expect(fields[.referrerPolicy] == "no-referrer")
        #expect(fields[.frameOptions] == "DENY")
    }

    // MARK: Forms

    private static let simple = [
        nil, "text/plain", "TEXT/PLAIN; charset=utf-8", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", " multipart/form-data", "; x",
    ]

    @Test(arguments: simple) func formsOfOtherPagesAreRefused(_ type: String?) {
        for origin in Self.foreign {
            for site in [nil, "cross-site", "same-site", "odd"] {
                var headers: HTTPFields = [.origin: origin]
                headers[.contentType] = type
                headers[.fetchSite] = site
                do throws(GatewayError) {
                    try CrossOriginPolicy.refuseForeignForm(Self.scope(headers))
                    Issue.record("taken: \(type ?? "no type") from \(origin)")
                } catch {
                    #expect(error.code == .unsupportedMediaType)
                }
            }
        }
    }

    @Test(arguments: simple) func formsOfOurOwnAndAllowedPagesAreTaken(_ type: String?) throws {
        func check(_ origin: String?, site: String? = nil) throws {
            var headers = HTTPFields()
            headers[.origin] = origin
            headers[.contentType] = type
            headers[.fetchSite] = site
            try CrossOriginPolicy.refuseForeignForm(Self.scope(headers))
        }
        // No browser's.
        try check(nil)
        for origin in Self.allowed { try check(origin, site: "cross-site") }
        try check("https://images.example", site: "same-origin")
        try check("http://gateway.example:8080")
        try check("http://behind.proxy.example", site: "same-origin")
    }

    @Test func jsonIsNoForm() throws {
        try CrossOriginPolicy.refuseForeignForm(
            Self.scope([.origin: "https://evil.example", .contentType: "application/json"]))
    }
}
