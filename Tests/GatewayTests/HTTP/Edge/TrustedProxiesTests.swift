import HTTPTypes
import StreamCodecs
import Testing

@testable import Gateway

/// H4: the client is the right-most address that is no proxy of ours, whatever anybody else says.
@Suite struct TrustedProxiesTests {
    private static let proxies = TrustedProxies(
        networks: ["10.0.0.0/8", "2001:db8:ffff::/48"].compactMap { IPNetwork($0) })

    private static func client(_ peer: String, _ fields: [(HTTPField.Name, String)]) -> String? {
        var headers = HTTPFields()
        for (name, value) in fields { headers.append(HTTPField(name: name, value: value)) }
        return self.proxies.client(peer: IPAddress(peer), headers)?.description
    }

    private static let forged = "203.0.113.66"
    private static let real = "198.51.100.7"

    /// What a forger may put in front, in each header's own form.
    private static let forgeries: [HTTPField.Name: [String]] = [
        .xForwardedFor: [
            "", forged, "\(forged), \(forged)", "10.0.0.1", "10.0.0.1, 10.0.0.2", "unknown", "_x", "localhost",
            "127.0.0.1",
            "::1", "[::ffff:10.0.0.1]:80", "1.2.3", ",,,", "\"", "a b", "256.1.1.1", "0x0a.0.0.1",
        ],
        .forwarded: [
            "", "for=\(forged)", "for=\(forged), for=\(forged)", "for=10.0.0.1", "for=unknown", "for=_x", "proto=https",
            "for=\"[2001:db8:ffff::1]\"", "for=\"10.0.0.1:80\"", ",,,",
        ],
    ]

    private static func written(_ address: String, _ name: HTTPField.Name) -> String {
        if name == .xForwardedFor { return address }
        return address.contains(":") ? "for=\"[\(address)]\"" : "for=\(address)"
    }

    /// Chains of 1 to 20 hops: the client, then proxies of ours, each of which adds whom it was called by.
    @Test(arguments: 1...20, [HTTPField.Name.xForwardedFor, .forwarded])
    func findsTheClientBehindProxies(_ hops: Int, _ name: HTTPField.Name) throws {
        for client in [Self.real, "2001:db8::7"] {
            for forgery in try #require(Self.forgeries[name]) {
                let inner = (1..<hops).map { $0 % 2 == 0 ? "10.0.0.\($0)" : "2001:db8:ffff::\($0)" }
                let chain = ([client] + inner).map { Self.written($0, name) }
                let peer = "10.9.9.9"
                let joined = ([forgery] + chain).filter { !$0.isEmpty }.joined(separator: ", ")
                #expect(Self.client(peer, [(name, joined)]) == client, "\(joined)")
                let lines = ([forgery] + chain).map { (name, $0) }
                #expect(Self.client(peer, lines) == client, "\(joined), a line each")
            }
        }
    }

    /// Nobody but a proxy of ours is believed.
    @Test(arguments: [HTTPField.Name.xForwardedFor, .forwarded]) func believesNoStranger(_ name: HTTPField.Name) throws
    {
        for forgery in try #require(Self.forgeries[name]) {
            #expect(Self.client(Self.real, [(name, forgery)]) == Self.real)
            #expect(Self.client("2001:db8::7", [(name, forgery), (name, forgery)]) == "2001:db8::7")
        }
        let realIP = try #require(HTTPField.Name("x-real-ip"))
        #expect(Self.client(Self.real, [(realIP, Self.forged)]) == Self.real)
        #expect(Self.client("10.0.0.1", [(realIP, Self.forged)]) == "10.0.0.1", "not from a proxy either")
        #expect(
            TrustedProxies(networks: []).client(peer: IPAddress("127.0.0.1"), [.xForwardedFor: Self.forged])?
                .description == "127.0.0.1")
    }

    /// A stranger's chain ends at the stranger, whoever is said to stand behind.
    @Test func aStrangerBetweenProxiesIsTheClient() {
        #expect(
            Self.client("10.0.0.1", [(.xForwardedFor, "\(Self.forged), 10.0.0.5, \(Self.real), 10.0.0.2")]) == Self.real
        )
        #expect(
            Self.client("10.0.0.1", [(.forwarded, "for=\(Self.forged), for=\(Self.real);by=10.0.0.2, for=10.0.0.2")])
                == Self.real)
    }

    @Test(arguments: [
        // Only proxies: the farthest of them calls for itself.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"), ("", "10.0.0.1"), (",", "10.0.0.1"), ("unknown", "10.0.0.1"),
        ("unknown, 10.0.0.2", "10.0.0.2"), ("\(forged), unknown, 10.0.0.2", "10.0.0.2"), ("\(real):4711", real),
        ("[2001:db8::7]:4711", "2001:db8::7"), ("::ffff:\(real)", real),
    ]) func whereTheChainEnds(_ field: String, _ client: String) {
        #expect(Self.client("10.0.0.1", [(.xForwardedFor, field)]) == client)
    }

    @Test(arguments: [
        ("for=_hidden", "10.0.0.1"), ("for=_hidden, for=10.0.0.2", "10.0.0.2"), ("for=\"", "10.0.0.1"),
        ("for=\"\(forged), for=\(real)", "10.0.0.1"), ("for=\(forged);for=\(real)", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ]) func whatCannotBeReadIsNotBelieved(_ field: String, _ client: String) {
        #expect(Self.client("10.0.0.1", [(.forwarded, field)]) == client)
    }

    /// A line that a client broke does not take away what the proxy wrote on a line of its own.
    @Test func aBrokenLineEndsTheChainThere() {
        #expect(Self.client("10.0.0.1", [(.forwarded, "for=\""), (.forwarded, "for=\(Self.real)")]) == Self.real)
        #expect(Self.client("10.0.0.1", [(.forwarded, "for=\(Self.forged)"), (.forwarded, "for=\"")]) == "10.0.0.1")
    }

    /// One of the two was the client's; which, nobody knows.
    @Test func headersThatDisagreeAreNotBelieved() {
        let listed = (HTTPField.Name.xForwardedFor, Self.real)
        #expect(Self.client("10.0.0.1", [listed, (.forwarded, "for=\(Self.real)")]) == Self.real)
        #expect(Self.client("10.0.0.1", [listed, (.forwarded, "for=\(Self.forged)")]) == "10.0.0.1")
        #expect(Self.client("10.0.0.1", [listed, (.forwarded, "for=\"")]) == "10.0.0.1")
    }

    @Test func aConnectionWithoutAddressHasNone() {
        #expect(Self.proxies.client(peer: nil, [.xForwardedFor: Self.forged]) == nil)
    }
}
