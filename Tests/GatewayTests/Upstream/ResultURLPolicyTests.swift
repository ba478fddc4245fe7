import ImageGeneration
import Providers
import Testing

@testable import Gateway
@testable import Transport

/// The tricks by which two parsers read one URL differently, and what the policy makes of plain ones.
@Suite struct ResultURLPolicyTests {
    private static func policy(
        _ hosts: [String] = ["cdn.example", "*.pictures.example", "cdn.example:9443", "[2001:db8::1]"],
        base: String = "https://lab.example/v1", isOpen: Bool = false
    ) -> ResultURLPolicy {
        ResultURLPolicy(base: base, hosts: hosts.compactMap(HostPattern.init), allowsPrivateNetwork: isOpen)
    }

    private static let strict = policy()
    private static let usual = UpstreamConnectionPolicy(version: .http2, proxy: "http://proxy.example:3128")

    /// Nil: refused.
    private static func addresses(_ url: String, _ policy: ResultURLPolicy = strict) -> AddressPolicy? {
        do {
            let connection = try policy.connection(for: url, usual: self.usual)
            // A guarded call has no proxy of the operator's between itself and the address that was looked at.
            #expect(connection == self.usual || connection.proxy == nil && connection.version == .http1)
            #expect((connection == self.usual) == (connection.addresses == .any))
            return connection.addresses
        } catch {
            #expect(error.code == .resultURLRefused)
            return nil
        }
    }

    private static func allows(_ url: String, _ policy: ResultURLPolicy = strict) -> Bool {
        self.addresses(url, policy) != nil
    }

    @Test(arguments: [
        "https://cdn.example/a.png", "https://CDN.Example/A.png?x=1#y", "https://a.pictures.example/x",
        "https://a.b.pictures.example/x", "https://lab.example/x", "https://lab.example:443/x", "HTTPS://cdn.example",
        "https://cdn.example?x=y", "https://cdn.example/@/:/%00",
        "https://cdn.example:443/x", "https://cdn.example:9443/x", "https://[2001:db8::1]/x",
    ]) func fetchesFrom(_ url: String) { #expect(Self.allows(url)) }

    /// The origin that every call with the key goes to is called as usual; everything else is looked at.
    @Test(arguments: [
        ("https://lab.example/x", AddressPolicy.any), ("HTTPS://LAB.example:443/x", .any),
        ("https://cdn.example/x", .publicOnly),
    ]) func whatIsNotTheUpstreamsOwnIsGuarded(_ url: String, _ expected: AddressPolicy) {
        #expect(Self.addresses(url) == expected)
        #expect(Self.addresses(url, Self.policy(isOpen: true)) == (expected == .any ? .any : .privateAllowed))
        let elsewhere = Self.policy(base: "https://lab.example:8443/v1")
        #expect(Self.addresses(url, elsewhere) == .publicOnly)
    }

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
        "https://a.pictures.example:9443/x", "https://lab.example:22/", "https://lab.example:6379/",
        "https://lab.example:8443/x", "http://lab.example/x", "http://lab.example:9000/x", "https://[2001:db8::1]:22/",
        "https://[2001:db8::1/x", "https://2001:db8::1/x", "https://[2001:db8::2]/x",
        // schemes
        "http://cdn.example/x", "ftp://cdn.example/x", "file:///etc/passwd", "gopher://cdn.example/", "//cdn.example/x",
        "https:/cdn.example/x", "https:///cdn.example/x", "https:cdn.example", "javascript:alert(1)",
        "data:image/png,x",
        "https", "", "https://", "https:///", "https://?x", "https://#",
    ]) func doesNotFetchFrom(_ url: String) { #expect(!Self.allows(url)) }

    @Test func privateNetworksAllowPlainHTTPButNoOtherHosts() {
        let open = Self.policy(["10.0.0.5", "10.0.0.5:9000"], base: "http://127.0.0.1:9100", isOpen: true)
        #expect(Self.allows("http://10.0.0.5/x", open))
        #expect(Self.allows("http://10.0.0.5:9000/x", open))
        #expect(Self.allows("http://127.0.0.1/x", open))
        #expect(!Self.allows("http://127.0.0.1:9101/x", open))
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
            _ = try Self.strict.connection(for: "https://169.254.169.254/latest", usual: Self.usual)
            Issue.record("allowed")
        } catch {
            #expect(!error.message.contains("169.254"))
            #expect(error.cause != nil)
            #expect(error.billed == .yes)
        }
    }

    /// What is checked is what is called: of every URL that the policy lets through, libcurl reads the same scheme, host and port.
    @Test func libcurlReadsNoOtherHostThanTheOneChecked() throws {
        let names = [
            "cdn.example", "CDN.example", "lab.example", "evil.example", "127.0.0.1", "127.1", "0x7f.1", "2130706433",
            "[2001:db8::1]", "[::ffff:127.0.0.1]", "[::1%25lo]", "localhost", "cdn.example.",
            "cdn.example%2eevil.example",
            "cdn\u{FF0E}example", "cdn\u{3002}example", "\u{24D2}dn.example", "cdn.example\u{AD}", "xn--cdn-.example",
            "",
        ]
        let joints = [
            "", "@", ":@", ":80@", "\\@", "#@", "?@", "/@", "%40", "\u{0}", "\t", "\r\n", " ", "%00", "%0d%0a", ";",
            ",", "//", "\\",
        ]
        let ports = [
            "", ":443", ":80", ":22", ":6379", ":9443", ":0443", ":+443", ":65979", ":", ":443:80", ":44\u{FF13}",
        ]
        let schemes = [
            "https://", "http://", "HTTPS://", "https:/", "https:///", "https:\\\\", "https://\t", " https://",
            "ftp://", "//",
        ]
        let policy = Self.policy(["cdn.example", "*.evil.example", "[2001:db8::1]", "cdn.example:9443"], isOpen: true)
        var counts = (read: 0, admitted: 0)
        for scheme in schemes {
            for first in names {
                for joint in joints {
                    for second in joint.isEmpty ? [""] : names.prefix(7).suffix(6) {
                        for port in joint.isEmpty ? ports[...] : ports.prefix(5) {
                            let url = "\(scheme)\(first)\(joint)\(second)\(port)/x"
                            counts.read += 1
                            guard Self.allows(url, policy) else { continue }
                            counts.admitted += 1
                            let checked = try #require(StrictURL(url))
                            let called = try #require(UpstreamOrigin(url: url), "\(url)")
                            let bare = checked.host.filter { $0 != "[" && $0 != "]" }
                            #expect(
                                called.host.lowercased() == bare && Int(called.port) == checked.effectivePort, "\(url)")
                            #expect(called.scheme == (checked.isSecure ? "https" : "http"), "\(url)")
                        }
                    }
                }
            }
        }
        #expect(counts.read > 100_000 && counts.admitted > 200)
    }
}
