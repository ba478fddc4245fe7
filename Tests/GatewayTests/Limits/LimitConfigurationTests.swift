import Admission
import ImageGeneration
import StreamCodecs
import Testing

@testable import Gateway

@Suite struct LimitConfigurationTests {
    private static func table(limits: String, route: String = "", more: String = "") throws -> RouteTable {
        let text = ConfigurationFixture.file(route: route, more: #", "limits": {\#(limits)}\#(more)"#)
        let loaded = ConfigurationFixture.load(text)
        return try #require(loaded.table, "\(loaded.lines)")
    }

    @Test func rulesAreResolved() throws {
        let table = try Self.table(
            limits: """
                "a": [{"per": "ip", "requests": "30/min", "burst": 10}, {"per": "claim:tenant", "cost": "5/hour"},
                      {"per": "token", "images": "1000/day", "shadow": true}, {"per": "global", "concurrent": 3}],
                "b": [{"per": "route", "images": "2/s"}]
                """, route: #", "limits": ["b", "a"]"#)
        let rules = table.routes[0].limits
        #expect(
            rules.map(\.name) == [
                "b.images.route.s", "a.requests.ip.min", "a.cost.claim:tenant.hour", "a.images.token.day",
                "a.concurrent.global",
            ])
        #expect(
            rules.map(\.quota) == [
                .rate(CellRate(count: 2, period: 1_000_000_000, burst: 2)),
                .rate(CellRate(count: 30, period: 60_000_000_000, burst: 10)),
                .rate(CellRate(count: 5000, period: 3_600_000_000_000, burst: 5000)),
                .daily(DailyQuota(limit: 1000)), .concurrent(3),
            ])
        #expect(rules.map(\.isShadow) == [false, false, false, true, false])
        #expect(
            rules.map(\.policyItem) == [
                #""b.images.route.s";q=2;w=1"#, #""a.requests.ip.min";q=30;w=60"#,
                #""a.cost.claim:tenant.hour";q=5;w=3600"#, #""a.images.token.day";q=1000;w=86400"#,
                #""a.concurrent.global";q=3;qu="concurrent-requests""#,
            ])
        #expect(table.limits.keys.sorted() == ["a", "b"])
    }

    /// Before the body is read it is not known which of a path's routes takes the request.
    @Test func whatIsCommonToAPathIsKnownBeforeTheBody() throws {
        let limits = #"""
            "a": [{"per": "ip", "requests": "1/s"}, {"per": "route", "requests": "9/s"}, {"per": "ip", "images": "1/s"}],
            "b": [{"per": "global", "requests": "5/s"}]
            """#
        let text = ConfigurationFixture.file(
            routes: [
                #"{"name": "one", "path": "/p", "dialect": "unified", "match": {"model": ["x"]}, "limits": ["a", "b"]}"#,
                #"{"name": "two", "path": "/p", "dialect": "unified", "limits": ["a"]}"#,
                #"{"name": "three", "path": "/q", "dialect": "unified", "limits": ["a"]}"#,
                #"{"name": "four", "path": "/r", "dialect": "unified"}"#,
            ], more: #", "limits": {\#(limits)}"#)
        let table = try #require(ConfigurationFixture.load(text).table)
        func common(_ path: String) -> [String]? { table.candidates(path: path)?.commonLimits.map(\.name) }
        #expect(common("/p") == ["a.requests.ip.s"])
        #expect(common("/q") == ["a.requests.ip.s", "a.requests.route.s"])
        #expect(common("/r") == [])
    }

    @Test(arguments: [
        (#""a": []"#, "$.limits.a: expected at least 1 of an object, found an empty list"),
        (
            #""a": [{"requests": "1/s"}]"#,
            "$.limits.a[0].per: missing key \"per\"; expected \"ip\", \"token\", \"route\", \"global\" or a claim such as"
                + " \"claim:tenant\""
        ),
        (
            #""a": [{"per": "claim:", "requests": "1/s"}]"#,
            "$.limits.a[0].per: expected \"ip\", \"token\", \"route\", \"global\" or a claim such as \"claim:tenant\", found"
                + " \"claim:\""
        ),
        (
            #""a": [{"per": "ip"}]"#,
            "$.limits.a[0]: expected one of \"requests\", \"images\", \"cost\" or \"concurrent\", found none"
        ),
        (
            #""a": [{"per": "ip", "requests": "1/s", "images": "1/s"}]"#,
            "$.limits.a[0]: expected one of \"requests\", \"images\", \"cost\" or \"concurrent\", found several"
        ),
        (#""a": [{"per": "ip", "concurrent": 1, "burst": 1}]"#, "$.limits.a[0].burst: \"concurrent\" has no burst"),
        (
            #""a": [{"per": "ip", "requests": "1/day", "burst": 1}]"#,
            "$.limits.a[0].burst: a quota of a day has no burst: all of it may be used at once"
        ),
        (
            #""a": [{"per": "ip", "requests": "1/s"}, {"per": "ip", "requests": "2/s"}]"#,
            "$.limits.a[1]: the same is limited by an entry before it"
        ),
        (
            #""a": [{"per": "ip", "requests": "30"}]"#,
            "$.limits.a[0].requests: expected a rate such as \"30/min\" (of /s, /min, /hour, /day), found \"30\""
        ),
        (
            #""a": [{"per": "ip", "requests": "2000000000/s"}]"#,
            "$.limits.a[0].requests: expected at most 1000000000, found 2000000000"
        ),
    ]) func refuses(_ limits: String, _ problem: String) {
        let loaded = ConfigurationFixture.load(ConfigurationFixture.file(more: #", "limits": {\#(limits)}"#))
        #expect(loaded.problems.map { "\($0.place.path): \($0.message)" } == [problem])
    }

    @Test(arguments: [
        (#"["a", "x"]"#, "$.routes[0].limits[1]: unknown limits \"x\"; expected \"a\" or \"partner\""),
        (#"["a", "a"]"#, "$.routes[0].limits[1]: limits \"a\" are named before"),
        (
            #"[]"#,
            "$.routes[0].limits: expected at least 1 of a word of at most 64 letters, digits, \".\", \"_\" and \"-\", found an empty list"
        ),
    ]) func refusesARoutes(_ names: String, _ problem: String) {
        let text = ConfigurationFixture.file(
            route: #", "limits": \#(names)"#,
            more: #", "limits": {"a": [{"per": "ip", "requests": "1/s"}], "partner": [{"per": "ip", "concurrent": 1}]}"#
        )
        let loaded = ConfigurationFixture.load(text)
        #expect(loaded.problems.map { "\($0.place.path): \($0.message)" } == [problem])
    }

    /// A public route has limits, or says that it is meant to have none.
    @Test func publicRoutesNeedLimitsOrAWord() {
        let limits = #", "limits": {"a": [{"per": "ip", "requests": "1/s"}]}"#
        let bare = ConfigurationFixture.file(more: limits)
            .replacing(#", "public_without_limits": true"#, with: "")
        #expect(
            ConfigurationFixture.load(bare).problems.map(\.message) == [
                "a public route needs \"limits\" or \"public_without_limits\": true"
            ])
        let limited = bare.replacing(#""auth": "public""#, with: #""auth": "public", "limits": ["a"]"#)
        #expect(ConfigurationFixture.load(limited).problems == [])
    }

    @Test func costsAreRead() throws {
        let table = try Self.table(
            limits: #""a": [{"per": "ip", "cost": "1/s"}]"#,
            more: #", "costs": {"image": {"1024x1024/high": 4, "*": 1.5}, "preview": 0.25}"#)
        var request = SamplePlan.plan(partialImages: 2).request
        #expect(table.costs.cost(of: request) == 2000)
        (request.size, request.quality, request.partialImages) = (.named("1024x1024"), "high", nil)
        #expect(table.costs.cost(of: request) == 4000)
    }

    @Test(arguments: [
        (
            #"{"image": {"a b": 1}}"#,
            "$.costs.image['a b']: expected a pattern such as \"1024x1024/high\" or \"*\", found \"a b\""
        ),
        (#"{"image": {"*": -1}}"#, "$.costs.image['*']: expected a number from 0 to 1000000, found the number -1"),
        (#"{"preview": 1e9}"#, "$.costs.preview: expected a number from 0 to 1000000, found the number 1000000000"),
    ]) func refusesCosts(_ costs: String, _ problem: String) {
        let loaded = ConfigurationFixture.load(ConfigurationFixture.file(more: #", "costs": \#(costs)"#))
        #expect(loaded.problems.map { "\($0.place.path): \($0.message)" } == [problem])
    }

    // MARK: The edge

    @Test func proxiesAndOriginsAreRead() throws {
        let more = #"""
            , "server": {"trusted_proxies": ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"],
              "cors": {"origins": ["http://localhost:3000", "https://app.example", "http://[::1]:5000"]}}
            """#
        let table = try #require(ConfigurationFixture.load(ConfigurationFixture.file(more: more)).table)
        #expect(table.server.trustedProxies.map(\.description) == ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"])
        #expect(table.server.origins == ["http://localhost:3000", "https://app.example", "http://[::1]:5000"])
    }

    @Test(arguments: [
        "10.0.0.1/8", "localhost", "*", "", "10.0.0.0/33", "fe80::1%eth0", "::ffff:10.0.0.0/104",
    ]) func refusesProxy(_ text: String) {
        let more = #", "server": {"trusted_proxies": ["\#(text)"]}"#
        let problems = ConfigurationFixture.load(ConfigurationFixture.file(more: more)).problems
        #expect(problems.map(\.place.path) == ["$.server.trusted_proxies[0]"])
    }

    @Test(arguments: [
        "*", "null", "", "app.example", "https://app.example/", "https://app.example/x", "https://App.example",
        "HTTPS://app.example", "https://app.example:443", "http://app.example:80", "https://*.example",
        "ftp://app.example",
        "https://me@app.example", "https://app.example?x", "https://app.example:0",
    ]) func refusesOrigin(_ text: String) {
        let more = #", "server": {"cors": {"origins": ["\#(text)"]}}"#
        let problems = ConfigurationFixture.load(ConfigurationFixture.file(more: more)).problems
        #expect(problems.map(\.place.path) == ["$.server.cors.origins[0]"])
    }
}
