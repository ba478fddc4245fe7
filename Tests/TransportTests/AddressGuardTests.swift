import HTTPTypes
import Synchronization
import Testing

@testable import Transport

/// Which addresses may be connected to, and that nothing else ever is.
@Suite(.timeLimit(.minutes(2))) struct AddressGuardTests {
    @Test(arguments: [
        "1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "192.167.1.1", "11.0.0.1", "100.63.0.1",
        "100.128.0.1", "126.1.1.1", "128.0.0.1", "169.253.0.1", "169.255.0.1", "198.17.0.1", "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "2001:200::1", "3ffe::1", "2620:fe::fe",
    ])
    func addressesOfTheInternet(_ text: String) throws {
        let address = try #require(AddressBits(text))
        #expect(AddressPolicy.publicOnly.admits(address) && AddressPolicy.privateAllowed.admits(address))
    }

    @Test(arguments: [
        // Private, shared, loopback, documentation, benchmarks, relays.
        "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "127.0.0.1",
        "127.255.255.254", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
        "192.88.99.1", "::1", "fc00::1", "fd12:3456::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1",
        // IPv4 within IPv6: mapped, compatible, NAT64, 6to4, Teredo, ISATAP.
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1", "::127.0.0.1", "::8.8.8.8",
        "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:808:808::1", "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fd00::5efe:10.0.0.1",
    ])
    func privateAddressesNeedTheOperatorsWord(_ text: String) throws {
        let address = try #require(AddressBits(text))
        #expect(!AddressPolicy.publicOnly.admits(address))
        #expect(AddressPolicy.privateAllowed.admits(address))
    }

    @Test(arguments: [
        "0.0.0.0", "0.1.2.3", "169.254.0.1", "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200",
        "192.0.0.192", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "fe80::1", "febf::1", "fec0::1",
        "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:169.254.169.254", "::ffff:0.0.0.0", "::ffff:224.0.0.1",
        "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    ])
    func someAddressesAreNever(_ text: String) throws {
        let address = try #require(AddressBits(text))
        #expect(!AddressPolicy.publicOnly.admits(address) && !AddressPolicy.privateAllowed.admits(address))
        #expect(AddressPolicy.any.admits(address))
    }

    /// Answers each request and closes.
    private static func server(_ answer: String = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") -> ScriptedServer {
        ScriptedServer { connection in while connection.readRequest() != nil { connection.write(answer) } }
    }

    private static func call(_ url: String, _ policy: AddressPolicy, proxy: String? = nil) -> UpstreamCall {
        UpstreamCall(
            method: .get, url: url, timeouts: UpstreamTimeouts(connect: .milliseconds(300), total: .seconds(5)),
            connection: UpstreamConnectionPolicy(proxy: proxy, addresses: policy))
    }

    /// Every spelling that libcurl and the resolver take for loopback or worse.
    @Test(arguments: [
        "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "0", "localhost",
        "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "127.0.0.1.", "0.0.0.0",
    ])
    func noSpellingOfThisMachineIsConnectedTo(_ host: String) async throws {
        let server = Self.server()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(Self.call("http://\(host):\(server.port)/", .publicOnly))
            #expect(outcome.head == nil)
            let failure = try #require(outcome.failure)
            #expect([.refusedAddress, .resolve, .other].contains(failure.reason), "\(host): \(failure)")
            #expect(!failure.requestSent)
            #expect(server.acceptedConnections == 0)
        }
    }

    @Test func whereTheOperatorAllowsItPrivateAddressesAreCalled() async throws {
        let server = Self.server()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            for host in ["127.0.0.1", "localhost"] {
                let outcome = await transport.perform(
                    Self.call("http://\(host):\(server.port)/", .privateAllowed, proxy: "http://127.0.0.1:9"))
                #expect(outcome.text == "ok", "\(host): \(String(describing: outcome.failure))")
            }
            // A connection each, and none is kept: the next call's address would not be looked at.
            #expect(server.acceptedConnections == 2)
            #expect(transport.statistics.idleConnections == 0)
        }
    }

    @Test func aKeptConnectionIsNotUsed() async throws {
        let server = Self.server()
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let url = "http://127.0.0.1:\(server.port)/"
            #expect(await transport.perform(Self.call(url, .any)).text == "ok")
            #expect(transport.statistics.idleConnections == 1)
            #expect(await transport.perform(Self.call(url, .publicOnly)).failure?.reason == .refusedAddress)
            #expect(await transport.perform(Self.call(url, .privateAllowed)).text == "ok")
            #expect(server.acceptedConnections == 2)
        }
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func redirectsAreNotFollowed(_ status: Int) async throws {
        let target = Self.server()
        defer { target.stop() }
        let server = Self.server(
            "HTTP/1.1 \(status) Moved\r\nLocation: http://127.0.0.1:\(target.port)/\r\nContent-Length: 0\r\n\r\n")
        defer { server.stop() }
        try await CurlTransport.with { transport in
            let outcome = await transport.perform(Self.call("http://127.0.0.1:\(server.port)/", .privateAllowed))
            #expect(outcome.head?.status == status)
            #expect(server.acceptedConnections == 1 && target.acceptedConnections == 0)
        }
    }

    /// Says another address each time it is asked.
    private final class RebindingNames: Sendable {
        private let answers: Mutex<[String]>
        private let questions = Mutex(0)

        init(_ answers: [String]) { self.answers = Mutex(answers) }

        var asked: Int { self.questions.withLock { $0 } }

        @Sendable func lookUp(_ name: String) -> NameResolution {
            self.questions.withLock { $0 += 1 }
            return .addresses(self.answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] })
        }
    }

    private func with(
        _ names: RebindingNames, _ body: (CurlTransport) async throws -> Void
    ) async throws {
        let transport = try CurlTransport(.init(threads: 1), resolver: NameResolver(lookUp: names.lookUp))
        try transport.start()
        defer { transport.shutdown() }
        try await body(transport)
    }

    /// The name is asked for once, and what was vetted is what is connected to.
    @Test func aNameThatTurnsToThisMachineIsOfNoUse() async throws {
        let server = Self.server()
        defer { server.stop() }
        let names = RebindingNames(["192.0.2.1,[2001:db8::1]", "127.0.0.1"])
        try await self.with(names) { transport in
            let url = "http://pictures.example:\(server.port)/"
            let outcome = await transport.perform(Self.call(url, .publicOnly))
            #expect(outcome.failure?.reason == .refusedAddress)
            #expect(names.asked == 1)
        }
        let turned = RebindingNames(["127.0.0.1", "169.254.169.254"])
        try await self.with(turned) { transport in
            let url = "http://pictures.example:\(server.port)/"
            for _ in 0..<3 { #expect(await transport.perform(Self.call(url, .privateAllowed)).text == "ok") }
            #expect(turned.asked == 1)
        }
        #expect(server.acceptedConnections == 3)
    }

    /// Of several addresses those that may not be connected to are left out.
    @Test func onlyVettedAddressesOfANameAreConnectedTo() async throws {
        let server = Self.server()
        defer { server.stop() }
        let names = RebindingNames(["169.254.169.254,[fe80::1],127.0.0.1,224.0.0.1"])
        try await self.with(names) { transport in
            let outcome = await transport.perform(
                Self.call("http://pictures.example:\(server.port)/", .privateAllowed))
            #expect(outcome.text == "ok")
            let refused = await transport.perform(Self.call("http://pictures.example:\(server.port)/", .publicOnly))
            #expect(refused.failure?.reason == .refusedAddress)
            #expect(server.acceptedConnections == 1)
        }
    }
}
