import Testing

@testable import Gateway

struct NetworkNamesTests {
    @Test(arguments: [
        ("127.0.0.1:8080", "127.0.0.1", 8080, true), ("[::1]:0", "::1", 0, true),
        ("localhost:80", "localhost", 80, true),
        ("0.0.0.0:65535", "0.0.0.0", 65535, false), ("gateway.example:443", "gateway.example", 443, false),
        ("127.9.9.9:1", "127.9.9.9", 1, true),
    ])
    func listenAddresses(text: String, host: String, port: Int, isLoopback: Bool) throws {
        let address = try #require(ListenAddress(text))
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.isLoopback == isLoopback)
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", ":8080", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "::1:8080",
        "[::1]", "[zz]:1", "127.0.0.256:1", "127.1:80", "a b:1", "http://x:1", "-x:1", "x..y:1", "0x7f:1",
    ])
    func badListenAddresses(text: String) {
        #expect(ListenAddress(text) == nil)
    }

    @Test(arguments: [
        ("https://api.openai.com/v1", "https://api.openai.com/v1", "api.openai.com"),
        ("http://127.0.0.1:9100/", "http://127.0.0.1:9100", "127.0.0.1"),
        ("https://[::1]:8443/x//", "https://[::1]:8443/x", "[::1]"),
        ("https://Host.Example", "https://Host.Example", "host.example"),
    ])
    func webURLs(text: String, expected: String, host: String) throws {
        let url = try #require(NetworkNames.webURL(text))
        #expect(url.text == expected)
        #expect(url.host == host)
    }

    @Test(arguments: [
        "", "https://", "https:///x", "ftp://x", "//x", "https://user:pw@x", "https://x?y", "https://x#y",
        "https://x y",
        "https://x/\n", "https://x:0", "https://x:99999", "https://x/ä", "https://exämple", "HTTPS://x", "https://[::1",
        "https://1.2.3", "https://0177.0.0.1", "https://x\\y", "https://x:80:80",
    ])
    func badWebURLs(text: String) {
        #expect(NetworkNames.webURL(text) == nil)
    }

    @Test(arguments: [
        ("http://proxy.example:3128", true), ("socks5h://127.0.0.1:1080/", true), ("http://user:pw@proxy:1", false),
        ("proxy:3128", false), ("http://proxy:3128/path", false), ("http://", false),
    ])
    func proxies(text: String, isFine: Bool) {
        #expect((NetworkNames.proxy(text) != nil) == isFine)
    }

    /// The published pattern says what the gateway takes.
    @Test(arguments: [
        ("https://app.example", true), ("http://localhost:3000", true), ("https://a_b.c-d.example:65535", true),
        ("http://127.0.0.1:8080", true), ("http://[::1]:8080", true), ("https://[2001:db8::1]", true),
        ("https://x:80", true), ("http://x:443", true), ("http://x9", true), ("http://1a.x", true),
        ("https://\(String(repeating: "a", count: 63)).example", true),
        ("https://\(String(repeating: "a", count: 64)).example", false),
        ("https://\(String(repeating: "abcdefg.", count: 31))abcde", true),
        ("https://\(String(repeating: "abcdefg.", count: 31))abcdef:8", false),
        ("", false), ("https://", false), ("app.example", false), ("https://app.example/", false), ("null", false),
        ("https://App.example", false), ("https://x:443", false), ("http://x:80", false), ("http://x:0", false),
        ("http://x:65536", false), ("http://x:", false), ("http://-x", false), ("http://x-", false),
        ("http://x..y", false),
        ("http://127.0.0.256", false), ("http://127.1", false), ("http://x.1", false), ("http://[zz]", false),
        ("http://[1]", false), ("ftp://x", false), ("https://user@x", false), ("https://x?y", false),
        ("http://*.x", false),
    ])
    func origins(text: String, isFine: Bool) throws {
        #expect(NetworkNames.isOrigin(text) == isFine)
        #expect(try Regex(NetworkNames.originPattern).wholeMatch(in: text).map { _ in true } == (isFine ? true : nil))
    }

    @Test(arguments: [
        ("*.bfl.ai", "delivery.bfl.ai", true), ("*.bfl.ai", "a.b.BFL.ai", true), ("*.bfl.ai", "bfl.ai", false),
        ("*.bfl.ai", "evilbfl.ai", false), ("*.bfl.ai", "bfl.ai.evil.example", false), ("*.bfl.ai", ".bfl.ai", false),
        ("Images.example", "images.EXAMPLE", true), ("images.example", "x.images.example", false),
        ("[::1]", "[::1]", true), ("*.bfl.ai:8443", "a.bfl.ai", true), ("[::1]:9000", "[::1]", true),
    ])
    func hostPatterns(pattern: String, host: String, expected: Bool) throws {
        #expect(try #require(HostPattern(pattern)).matches(host) == expected)
    }

    @Test(arguments: [
        "", "*", "*.", "*.com", "a*.b", "*.*.b", "http://x", "x:0", "x:http", "x:80:80", "x/y", "::1", "ä.example",
        "1.2.3",
    ])
    func badHostPatterns(pattern: String) {
        #expect(HostPattern(pattern) == nil)
    }

    @Test(arguments: [
        ("/etc/gateway", "var/images", "/etc/gateway/var/images"), ("/etc/gateway", "/srv/x", "/srv/x"),
        ("/etc/gateway", "../x/./y//z/", "/etc/x/y/z"), ("", "var/images", "var/images"), ("", "../x", "../x"),
        ("conf", "..", "."), ("/", "../../x", "/x"),
    ])
    func paths(directory: String, path: String, expected: String) {
        let surroundings = ConfigurationSurroundings(directory: directory, environment: { _ in nil }) {
            _ throws(ConfigurationFileError) in []
        }
        #expect(surroundings.resolve(path) == expected)
    }
}
