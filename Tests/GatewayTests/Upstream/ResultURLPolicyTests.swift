import ImageGeneration
import Testing

@testable import Gateway

/// The tricks by which two parsers read one URL differently, and what the policy makes of plain ones.
@Suite struct ResultURLPolicyTests {
    private static let strict = ResultURLPolicy(
        ownHost: "lab.example", hosts: ["cdn.example", "*.pictures.example"].compactMap(HostPattern.init),
        allowsPrivateNetwork: false)

    private static func allows(_ url: String, _ policy: ResultURLPolicy = strict) -> Bool {
        do {
            try policy.check(url)
            return true
        } catch {
            return error.code != .resultURLRefused
        }
    }

    @Test(arguments: [
        "https://cdn.example/a.png", "https://CDN.Example/A.png?x=1#y", "https://a.pictures.example/x",
        "https://a.b.pictures.example/x", "https://lab.example/x", "https://lab.example:8443/x", "http://lab.example/x",
        "http://lab.example:9000/x", "HTTPS://cdn.example", "https://cdn.example?x=y", "https://cdn.example/@/:/%00",
        "https://cdn.example:443/x",
    ]) func fetchesFrom(_ url: String) { #expect(Self.allows(url)) }

    @Test(arguments: [
        // other hosts
        "https://evil.example/x", "https://pictures.example/x", "https://xpictures.example/x",
        "https://cdn.example.evil.example/x", "https://notcdn.example/x", "https://127.0.0.1/x",
        "https://169.254.169.254/x",
        "https://localhost/x", "https://10.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/",
        "https://[::1]/x", "https://[::ffff:169.254.169.254]/", "https://[fe80::1%25eth0]/",
        // user information and what looks like it
        "https://cdn.example@evil.example/x", "https://cdn.example:443@evil.example/x",
        "https://user:pass@cdn.example/x", "https://@cdn.example/x", "https://evil.example#@cdn.example/",
        "https://evil.example?@cdn.example/", "https://evil.example\\@cdn.example/",
        "https://cdn.example\\@evil.example/",
        "https://evil.example\\.cdn.example/",
        // hosts that normalise to others
        "https://cdn.example./x", "https://.cdn.example/x", "https://cdn..example/x", "https://cdn%2eexample/x",
        "https://cdn.example%00.evil.example/", "https://cdn.example%2f@evil.example/", "https://ⓒdn.example/x",
        "https://cdn。example/x", "https://cdn.example\u{0}.evil.example/", "https://-cdn.example/",
        "https://cdn-.pictures.example/",
        // white space and control characters
        " https://cdn.example/x", "https://cdn.example/x\n", "https://cdn.example/\r\nHost: evil.example",
        "https://cdn.example\t/x", "https:// cdn.example/x", "ht\ntps://cdn.example/",
        // ports
        "https://cdn.example:8443/x", "https://cdn.example:22/", "https://cdn.example:/x", "https://cdn.example:0443/",
        "https://cdn.example:443:443/", "https://cdn.example:+443/", "https://cdn.example:-1/",
        "https://cdn.example:65536/", "https://lab.example:0/", "https://cdn.example:80/",
        // schemes
        "http://cdn.example/x", "ftp://cdn.example/x", "file:///etc/passwd", "gopher://cdn.example/", "//cdn.example/x",
        "https:/cdn.example/x", "https:///cdn.example/x", "https:cdn.example", "javascript:alert(1)",
        "data:image/png,x",
        "https", "", "https://", "https:///", "https://?x", "https://#",
    ]) func doesNotFetchFrom(_ url: String) { #expect(!Self.allows(url)) }

    @Test func privateNetworksAllowPlainHTTPButNoOtherHosts() {
        let open = ResultURLPolicy(
            ownHost: "127.0.0.1", hosts: ["10.0.0.5"].compactMap(HostPattern.init), allowsPrivateNetwork: true)
        #expect(Self.allows("http://10.0.0.5/x", open))
        #expect(Self.allows("http://127.0.0.1:9100/x", open))
        #expect(!Self.allows("http://10.0.0.6/x", open))
        #expect(!Self.allows("http://10.0.0.5:22/x", open))
    }

    @Test func aURLBeyondAllMeasureIsRefused() {
        #expect(Self.allows("https://cdn.example/" + String(repeating: "x", count: 8000)))
        #expect(!Self.allows("https://cdn.example/" + String(repeating: "x", count: 9000)))
        #expect(!Self.allows("https://" + String(repeating: "a.", count: 130) + "pictures.example/"))
    }

    @Test func theReasonStaysInside() {
        do {
            try Self.strict.check("https://169.254.169.254/latest")
            Issue.record("allowed")
        } catch {
            #expect(!error.message.contains("169.254"))
            #expect(error.cause != nil)
            #expect(error.billed == .yes)
        }
    }
}
