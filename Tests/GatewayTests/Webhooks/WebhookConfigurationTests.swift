import Testing

@testable import Gateway

@Suite struct WebhookConfigurationTests {
    private static let storage = #", "storage": {"jobs": {"sqlite": "jobs.db"}}"#
    private static let environment = ["ONE": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "TWO": "0123456789abcdef"]

    private static func load(
        _ webhooks: String, notify: String = "app", storage: String = storage,
        environment: [String: String] = environment
    ) -> LoadedConfiguration {
        ConfigurationFixture.load(
            ConfigurationFixture.file(
                route: #", "notify": "\#(notify)""#, more: "\(storage),\n\"webhooks\": {\(webhooks)}"),
            environment: environment)
    }

    private static func app(_ url: String = "https://app.example/h", secret: String = #"{"env": "ONE"}"#) -> String {
        #""app": {"url": "\#(url)", "secret": \#(secret)}"#
    }

    @Test func aRouteNamesAWebhook() throws {
        let loaded = Self.load(Self.app(secret: #"[{"env": "ONE"}, {"env": "TWO"}]"#))
        #expect(loaded.problems.isEmpty)
        let table = try #require(loaded.table)
        #expect(table.routes[0].notify == "app" && table.webhooks.map(\.name) == ["app"])
        #expect(table.webhooks[0].secrets.map { $0.reveal() } == [Self.environment["ONE"], Self.environment["TWO"]])
        #expect(table.webhooks[0].unavailableReason == nil)
        #expect(
            table.rendered().hasSuffix(
                "\nWEBHOOK  URL                    ROUTES\napp      https://app.example/h  unified:/v1/generate\n"))
    }

    @Test(arguments: [
        "https://app.example", "https://app.example/", "https://app.example/a/?code=%2Fx&y=1?z", "http://app:3000/h",
        "http://127.0.0.1:1/h", "http://[::1]/h", "http://[fd00::1]/h", "http://10.1.2.3/h", "http://172.16.0.9/",
        "http://hooks.internal/",
    ]) func urlsAreKeptAsTheyAre(_ url: String) throws {
        let loaded = Self.load(Self.app(url))
        #expect(loaded.problems.isEmpty && loaded.table?.webhooks.first?.url == url)
    }

    @Test(arguments: [
        "ftp://app.example", "https://me:pw@app.example/", "https://app.example/#x", "https://app.example/a b",
        "//app.example", "https://", "https://app.example/?q=\\\\", "https://app.example/?\\u0001",
        "https://exa\\u00e4mple/",
    ]) func otherURLsAreRefusedAndNotRepeated(_ url: String) {
        let loaded = Self.load(Self.app(url))
        #expect(
            loaded.errors.map(\.message) == [
                "expected an http or https URL without user information and fragment, found another text"
            ])
    }

    @Test(arguments: ["http://app.example/h", "http://8.8.8.8/h", "http://172.32.0.1/", "http://[2001:db8::1]/"])
    func foreignNetworksWantHTTPS(_ url: String) {
        let loaded = Self.load(Self.app(url))
        #expect(
            loaded.problems.map(\.message) == [
                "messages to \"app\" are sent unencrypted over a network that is not yours; expected https"
            ])
        #expect(loaded.problems.first?.place.path == "$.webhooks.app.url" && !loaded.problems.hasErrors)
        #expect(loaded.table != nil)
    }

    @Test func aQueryIsNotShown() throws {
        let table = try #require(Self.load(Self.app("https://app.example/h?code=hidden")).table)
        #expect(!table.rendered().contains("hidden"))
    }

    @Test(arguments: [
        (app(), "ap", storage, ["unknown webhook \"ap\"; expected \"app\"; did you mean \"app\"?"]),
        ("", "app", storage, ["\"notify\" names one of \"webhooks\", of which there are none"]),
        (app(), "app", "", ["\"notify\" needs \"storage.jobs\", where messages wait until they are delivered"]),
        (
            #""app": {}"#, "app", storage,
            [
                "missing key \"url\"; expected an http or https URL without user information and fragment",
                "missing key \"secret\"; expected {\"env\": \"NAME\"}, {\"file\": \"path\"} or a list of those",
            ]
        ),
        (
            app(secret: #""inline""#), "app", storage,
            [
                "expected {\"env\": \"NAME\"} or {\"file\": \"path\"}, found a text (secrets are never written into this file)"
            ]
        ),
        (
            app(secret: #"{"env": "SHORT"}"#), "app", storage,
            [
                "expected a signing secret of at least 16 bytes, found a shorter one"
            ]
        ),
        (
            app(secret: #"{"env": "BROKEN"}"#), "app", storage,
            [
                "expected base64 behind \"whsec_\", found something else"
            ]
        ),
        (
            #""app": {"url": "https://a.example", "secret": {"env": "ONE"}, "secrets": 1}"#, "app", storage,
            [
                "unknown key \"secrets\"; did you mean \"secret\"?"
            ]
        ),
    ]) func problems(_ webhooks: String, _ notify: String, _ storage: String, _ expected: [String]) {
        let environment = ["ONE": "0123456789abcdef", "SHORT": "short-secret", "BROKEN": "whsec_?"]
        let loaded = Self.load(webhooks, notify: notify, storage: storage, environment: environment)
        #expect(loaded.errors.map(\.message) == expected)
        #expect(loaded.table == nil)
        #expect(!loaded.problems.rendered(file: "f").contains("short-secret"))
    }

    @Test func anUnsetSecretMakesItUnavailable() throws {
        let both = Self.app(secret: #"[{"env": "ONE"}, {"env": "TWO"}]"#)
        let none = Self.load(both, environment: [:])
        #expect(
            none.problems.map(\.message) == [
                "webhook \"app\" is unavailable: environment variable ONE is not set; environment variable TWO is not set"
            ])
        let webhook = try #require(none.table?.webhooks.first)
        #expect(webhook.secrets.isEmpty && webhook.unavailableReason?.contains("ONE is not set") == true)
        #expect(none.table?.rendered().contains("app (unavailable)") == true)
        let one = Self.load(both, environment: ["TWO": "0123456789abcdef"])
        #expect(one.problems.map(\.message) == ["environment variable ONE is not set; \"app\" signs without it"])
        #expect(one.table?.webhooks.first?.secrets.count == 1)
    }

    @Test func routesInheritIt() throws {
        let text = ConfigurationFixture.file(
            routes: [
                #"{"path": "/a", "dialect": "unified"}"#, #"{"path": "/b", "dialect": "unified", "notify": "b"}"#,
            ],
            defaults: #", "notify": "app""#,
            more: Self.storage
                + #", "webhooks": {\#(Self.app()), "b": {"url": "https://b.example", "secret": {"env": "TWO"}}}"#)
        let loaded = ConfigurationFixture.load(text, environment: Self.environment)
        #expect(loaded.table?.routes.map(\.notify) == ["app", "b"])
    }
}
