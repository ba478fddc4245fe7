import HTTPTypes
import Testing

@testable import Transport

@Suite struct ProxyEnvironmentTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var environment: [String: String]
        var scheme = "https"
        var host: String
        var proxy: String?
        var testDescription: String { "\(self.scheme) \(self.host) \(self.environment)" }
    }

    private static let cases: [Case] = [
        Case(environment: [:], host: "api.example", proxy: nil),
        Case(environment: ["https_proxy": "http://p:1"], host: "api.example", proxy: "http://p:1"),
        Case(environment: ["HTTPS_PROXY": "http://p:1"], host: "api.example", proxy: "http://p:1"),
        Case(environment: ["https_proxy": "", "HTTPS_PROXY": "q"], host: "api.example", proxy: "q"),
        Case(environment: ["http_proxy": "p"], host: "api.example", proxy: nil),
        Case(environment: ["http_proxy": "p"], scheme: "http", host: "api.example", proxy: "p"),
        Case(environment: ["HTTP_PROXY": "p"], scheme: "http", host: "api.example", proxy: nil),
        Case(environment: ["all_proxy": "p"], scheme: "http", host: "api.example", proxy: "p"),
        Case(environment: ["all_proxy": "p"], host: "localhost", proxy: nil),
        Case(environment: ["all_proxy": "p"], host: "127.8.8.8", proxy: nil),
        Case(environment: ["all_proxy": "p"], host: "::1", proxy: nil),
        Case(environment: ["all_proxy": "p", "no_proxy": "*"], host: "api.example", proxy: nil),
        Case(environment: ["all_proxy": "p", "no_proxy": "other, .example"], host: "API.example.", proxy: nil),
        Case(environment: ["all_proxy": "p", "no_proxy": "example"], host: "example", proxy: nil),
        Case(environment: ["all_proxy": "p", "no_proxy": "ample"], host: "api.example", proxy: "p"),
        Case(environment: ["all_proxy": "p", "NO_PROXY": "10.0.0.0/8"], host: "10.9.8.7", proxy: nil),
        Case(environment: ["all_proxy": "p", "NO_PROXY": "10.0.0.0/8"], host: "11.9.8.7", proxy: "p"),
        Case(environment: ["all_proxy": "p", "NO_PROXY": "10.1.1.1"], host: "10.1.1.1", proxy: nil),
        Case(environment: ["all_proxy": "p", "NO_PROXY": "10.0.0.0/99"], host: "10.1.1.1", proxy: "p"),
        Case(environment: ["all_proxy": "p", "NO_PROXY": "fd00::/8 x"], host: "fd12::1", proxy: nil),
    ]

    @Test(arguments: cases) func choosesTheProxy(_ example: Case) {
        let proxies = ProxyEnvironment(example.environment)
        #expect(proxies.proxy(scheme: example.scheme, host: example.host) == example.proxy)
    }
}

@Suite struct CallRouteTests {
    private func route(_ url: String, proxy: String? = nil, _ environment: [String: String] = [:]) throws -> CallRoute {
        try CallRoute(
            UpstreamCall(method: .get, url: url, connection: UpstreamConnectionPolicy(proxy: proxy)),
            environment: ProxyEnvironment(environment))
    }

    @Test func looksUpWhatTheConnectionNeeds() throws {
        #expect(try self.route("https://api.example/x").lookups.map(\.host) == ["api.example"])
        #expect(try self.route("https://api.example/x").origin.port == 443)
        #expect(try self.route("http://127.0.0.1:9/").lookups.isEmpty)
        #expect(try self.route("http://[::1]:9/").lookups.isEmpty)
        #expect(try self.route("http://[::1]:9/").origin.host == "::1")
        #expect(try self.route("http://localhost:9/").lookups.isEmpty)
        #expect(try self.route("http://0x7f.1/").lookups.isEmpty)
        #expect(try self.route("https://api.example", proxy: "http://proxy").lookups.map(\.host) == ["proxy"])
        #expect(try self.route("https://api.example", proxy: "proxy").lookups.map(\.port) == [1080])
        #expect(try self.route("https://api.example", proxy: "u:p@proxy:3128").lookups.map(\.port) == [3128])
        #expect(try self.route("https://api.example", proxy: "https://proxy").lookups.map(\.port) == [443])
        #expect(try self.route("https://a.example", proxy: "socks5h://s:1").lookups.map(\.host) == ["s"])
        #expect(try self.route("https://a.example", proxy: "socks5://s:1").lookups.map(\.host) == ["s", "a.example"])
        #expect(try self.route("https://a.example", ["all_proxy": "http://e:1"]).lookups.map(\.host) == ["e"])
    }

    @Test(arguments: [
        "", "x", "/path", "ftp://a/", "file:///etc/passwd", "http://", "http://a b/", "http://a:99999/",
    ])
    func refusesWhatIsNoURL(url: String) {
        #expect(throws: CallRoute.InvalidURL.self) { try self.route(url) }
    }

    @Test func knowsWhatIsEncrypted() throws {
        #expect(try self.route("https://a.example").isEncrypted)
        #expect(try self.route("http://a.example", proxy: "https://p").isEncrypted)
        #expect(try !self.route("http://a.example", proxy: "http://p").isEncrypted)
    }
}
