import Admission
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import NIOPosix
import Testing

@testable import Gateway

/// Where a credential is looked for, and where it is not.
struct PresentedCredentialTests {
    private static let events = "/v1/jobs/job_aaaaaaaaaaaaaaaaaaaaaaaaaa/events"

    private static func scope(
        _ path: String = "/v1/generate", _ fields: [(String, String)], method: HTTPRequest.Method = .get
    ) -> RequestScope {
        var headers = HTTPFields()
        for (name, value) in fields {
            if let name = HTTPField.Name(name) { headers.append(HTTPField(name: name, value: value)) }
        }
        let head = HTTPRequest(
            method: method, scheme: "http", authority: "gateway.example:8080", path: path, headerFields: headers)
        let connection = ClientConnection(eventLoop: MultiThreadedEventLoopGroup.singleton.any(), remoteAddress: nil)
        return RequestScope(
            Request(head: head, body: RequestBody(buffer: ByteBuffer())), connection: connection,
            edge: EdgePolicy(
                proxies: TrustedProxies(networks: []), origins: CrossOriginPolicy(origins: []),
                ownOrigin: "https://public.example"))
    }

    private static func read(
        _ fields: [(String, String)], path: String = "/v1/generate", method: HTTPRequest.Method = .get
    ) throws -> String? {
        let presented = try PresentedCredential(self.scope(path, fields, method: method))
        return presented.map { "\($0.carrier.rawValue) \($0.text)" }
    }

    @Test(
        arguments: [
            ("Authorization", "Bearer x", "header x"), ("Authorization", "bearer  x ", "header x"),
            ("Authorization", "Key a:b", "header a:b"), ("Authorization", "Token x", "header x"),
            ("Authorization", "Basic eA==", "header "), ("Authorization", "x", "header "),
            ("Authorization", "", "header "),
            ("Authorization", "Bearer", "header "), ("Authorization", "Bearer ", "header "),
            ("X-API-Key", " x ", "header x"), ("api-key", "x", "header x"),
            ("Cookie", "safelight_ticket=x", "cookie x"),
            ("Cookie", "a=b; safelight_ticket=\"x\"; c", "cookie x"), ("Cookie", "safelight_ticket2=x", nil),
            ("Cookie", "safelight_session=x", nil), ("X-Token", "x", nil),
        ] as [(String, String, String?)])
    func carriers(name: String, value: String, expected: String?) throws {
        #expect(try Self.read([(name, value)]) == expected)
    }

    @Test(
        arguments: [
            [("Authorization", "Bearer x"), ("Authorization", "Bearer x")],
            [("Authorization", "Bearer x"), ("api-key", "x")],
            [("X-API-Key", "x"), ("api-key", "x")], [("X-API-Key", "x"), ("Cookie", "safelight_ticket=x")],
            [("Cookie", "safelight_ticket=x; safelight_ticket=x")],
        ] as [[(String, String)]])
    func severalAreRefused(fields: [(String, String)]) {
        #expect(throws: GatewayError.self) { try Self.read(fields) }
    }

    @Test func aTicketMayStandInTheURLOfEventsAlone() throws {
        #expect(try Self.read([], path: Self.events + "?ticket=x") == "query x")
        #expect(try Self.read([], path: Self.events + "?ticket=x", method: .head) == "query x")
        #expect(try Self.read([], path: Self.events + "?ticket=x", method: .post) == nil)
        for path in ["/v1/generate", "/v1/jobs", Self.events.replacing("/events", with: ""), "/v1/images/x"] {
            #expect(try Self.read([], path: path + "?ticket=x") == nil)
        }
        #expect(throws: GatewayError.self) { try Self.read([], path: Self.events + "?ticket=x&ticket=x") }
        #expect(throws: GatewayError.self) { try Self.read([("api-key", "x")], path: Self.events + "?ticket=x") }
    }

    @Test(
        arguments: [
            ([], true), ([("Sec-Fetch-Site", "same-origin")], true), ([("Sec-Fetch-Site", "none")], true),
            ([("Sec-Fetch-Site", "same-site")], false), ([("Sec-Fetch-Site", "cross-site")], false),
            ([("Origin", "http://gateway.example:8080")], true), ([("Origin", "https://public.example")], true),
            ([("Origin", "https://evil.example")], false), ([("Origin", "null")], false),
            ([("Origin", "https://public.example"), ("Sec-Fetch-Site", "cross-site")], false),
        ] as [([(String, String)], Bool)])
    func cookiesCountForOwnPages(fields: [(String, String)], counts: Bool) throws {
        #expect(try Self.read([("Cookie", "safelight_ticket=x")] + fields) == (counts ? "cookie x" : nil))
    }
}

struct TicketTests {
    @Test(
        arguments: [
            (#"{"route": "a"}"#, TicketGrant.Bounds(routes: ["a"], uses: 1), nil),
            (
                #"{"route": "a", "model": "m", "size": "auto", "n": 2, "uses": 3, "origin": "https://a.example", "expires_in": 9}"#,
                TicketGrant.Bounds(
                    routes: ["a"], model: "m", size: "auto", maximumCount: 2, origin: "https://a.example", uses: 3),
                9000
            ),
            (#"{"job": "j", "uses": null}"#, TicketGrant.Bounds(job: "j"), nil),
        ] as [(String, TicketGrant.Bounds, Int64?)])
    func wishes(json: String, bounds: TicketGrant.Bounds, lifetime: Int64?) throws {
        let wish = try TicketWish(ByteBuffer(string: json))
        #expect(wish.bounds == bounds && wish.lifetimeMilliseconds == lifetime)
    }

    @Test(arguments: [
        "", "[]", "{}", #"{"route": ""}"#, #"{"route": "a", "route": "b"}"#, #"{"route": "a", "job": "j"}"#,
        #"{"route": "a", "n": 0}"#, #"{"route": "a", "n": 101}"#, #"{"route": "a", "uses": "1"}"#,
        #"{"job": "j", "model": "m"}"#, #"{"route": "a", "origin": "a.example"}"#, #"{"route": "a", "expires_in": 0}"#,
        #"{"route": "a", "url": "https://a.example"}"#,
    ])
    func otherWishesAreRefused(json: String) {
        #expect(throws: GatewayError.self) { try TicketWish(ByteBuffer(string: json)) }
    }

    private static func principal(uses: Int?, id: String = "tik_a", expiresAt: Int64 = 1000) -> Principal {
        var principal = Principal(kind: .ticket, id: "tok_a")
        principal.expiresAt = Timestamp(milliseconds: expiresAt)
        principal.ticket = TicketGrant(id: id, bounds: TicketGrant.Bounds(routes: ["a"], uses: uses))
        return principal
    }

    @Test func usesAreCountedByTicketAndCanComeToNothing() throws {
        let uses = TicketUses()
        let now = Timestamp(milliseconds: 0)
        let twice = Self.principal(uses: 2)
        try uses.take(twice, now: now)
        try uses.take(twice, now: now)
        #expect(throws: GatewayError.self) { try uses.take(twice, now: now) }
        uses.giveBack(twice)
        try uses.take(twice, now: now)
        #expect(throws: GatewayError.self) { try uses.take(twice, now: now) }
        try uses.take(Self.principal(uses: 1, id: "tik_b"), now: now)
        for _ in 0..<10 { try uses.take(Self.principal(uses: nil), now: now) }
        for _ in 0..<10 { try uses.take(Principal(kind: .token, id: "tok_a"), now: now) }
    }
}

struct PrincipalRouteTests {
    private static func bounded(_ bounds: TicketGrant.Bounds) -> Principal {
        var principal = Principal(kind: .ticket, id: "tok_a", scopes: ["images"], routes: Set(bounds.routes))
        principal.ticket = TicketGrant(id: "tik_a", bounds: bounds)
        return principal
    }

    private static let request = ImageRequest(operation: .generate, prompt: "x")

    @Test func onlyATicketsBoundsBindARequest() throws {
        var asked = Self.request
        asked.model = "m"
        asked.count = 2
        try Principal.nobody.checkBounds(asked, resolved: asked)
        try Self.bounded(.init(routes: ["a"], model: "m", maximumCount: 2)).checkBounds(asked, resolved: asked)
        for bounds in [
            TicketGrant.Bounds(routes: ["a"], model: "n"), .init(routes: ["a"], size: "auto"),
            .init(routes: ["a"], maximumCount: 1),
        ] {
            #expect(throws: GatewayError.self) { try Self.bounded(bounds).checkBounds(asked, resolved: asked) }
        }
        // What the route fills in counts where the request says nothing.
        try Self.bounded(.init(routes: ["a"], model: "m")).checkBounds(Self.request, resolved: asked)
    }

    @Test func administratorsHaveTheScopeThemselves() {
        #expect(Principal(kind: .token, id: "a", scopes: ["admin"]).isAdministrator)
        #expect(Principal(kind: .jwt, id: "a", scopes: ["admin", "x"]).isAdministrator)
        #expect(!Principal(kind: .ticket, id: "a", scopes: ["admin"]).isAdministrator)
        #expect(!Principal(kind: .session, id: "a", scopes: ["admin"]).isAdministrator)
        #expect(!Principal(kind: .token, id: "a", scopes: ["Admin", "administrator"]).isAdministrator)
    }
}
