import Testing

@testable import Gateway

struct SecretTests {
    @Test func isNeverShown() {
        let secret = Secret("hunter2-hunter2")
        var dumped = ""
        dump([secret], to: &dumped)
        for shown in ["\(secret)", String(reflecting: secret), String(describing: Optional(secret)), dumped] {
            #expect(!shown.contains("hunter2"))
        }
        #expect(secret.reveal() == "hunter2-hunter2")
    }

    @Test func keysComeFromEnvironmentAndFiles() throws {
        let text = ConfigurationFixture.file(
            upstream: #", "api_key": [{"env": "A"}, {"file": "keys/b"}, {"env": "C"}]"#)
        func key(_ environment: [String: String], _ files: [String: [UInt8]] = [:]) throws -> String? {
            let loaded = ConfigurationFixture.load(text, environment: environment, files: files)
            return try #require(loaded.table).upstreams[0].apiKey?.reveal()
        }
        #expect(try key(["A": "one", "C": "three"]) == "one")
        #expect(try key(["A": "", "C": "three"]) == "three")
        #expect(try key(["C": "three"], ["/etc/gateway/keys/b": Array("two\r\n".utf8)]) == "two")
        #expect(try key(["C": "three"], ["/etc/gateway/keys/b": [0xFF, 0xFE]]) == "three")
        #expect(try key([:]) == nil)
    }

    @Test(arguments: ["line\nbreak", "blank inside", "ümlaut", "nul\u{0}"])
    func keysThatNoHeaderCarries(key: String) throws {
        let text = ConfigurationFixture.file(upstream: #", "api_key": {"env": "KEY"}"#)
        let loaded = ConfigurationFixture.load(text, environment: ["KEY": key])
        let upstream = try #require(loaded.table?.upstreams.first)
        #expect(upstream.unavailableReason == "its key holds characters that no header can carry")
        #expect(upstream.apiKey == nil)
        #expect(!loaded.problems.rendered(file: "f").contains(key))
    }

    @Test func signingSecrets() throws {
        let text = ConfigurationFixture.file(
            more: #", "storage": {"images": {"disk": "i", "secret": [{"env": "NEW"}, {"env": "OLD"}]}}"#)
        let (new, old) = ("0123456789abcdef", "fedcba9876543210")
        func secret(_ environment: [String: String]) -> RouteTable.SigningSecret? {
            ConfigurationFixture.load(text, environment: environment).table?.storage.images?.secret
        }
        #expect(secret(["NEW": new, "OLD": old]) == .given([Secret(new), Secret(old)]))
        #expect(secret(["OLD": old]) == .given([Secret(old)]))
        #expect(secret([:]) == .generated(file: "/etc/gateway/var/keys/image-urls"))
        let short = ConfigurationFixture.load(text, environment: ["NEW": "short", "OLD": old])
        #expect(short.errors.map(\.message) == ["expected a signing secret of at least 16 bytes, found a shorter one"])
    }
}
