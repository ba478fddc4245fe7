import Glibc

/// Which addresses a call may be connected to.
package enum AddressPolicy: Hashable, Sendable {
    /// Whatever the name resolves to: the URL is the operator's own.
    case any
    /// Addresses of the public Internet.
    case publicOnly
    /// Besides those the addresses of private networks and of this machine.
    case privateAllowed

    /// Every address is looked at before the socket is made, the connection is the call's own, and no proxy stands between.
    var isGuarded: Bool { self != .any }

    func admits(_ address: AddressBits) -> Bool {
        switch self {
        case .any: true
        case .publicOnly: address.scope == .global
        case .privateAllowed: address.scope != .never
        }
    }
}

extension AddressBits {
    enum Scope { case global, local, never }

    /// `never`: nothing that serves pictures is there, or it is the address of a cloud's metadata service.
    ///
    /// After the special-purpose registries of IANA (RFC 6890 and its additions). Of IPv6 only 2000::/3 is handed out at all; what embeds
    /// an IPv4 address otherwise (mapped, NAT64, 6to4, Teredo) is judged as no address of its own.
    var scope: Scope {
        if Self.isAny(self, of: Self.never) { return .never }
        if self.bytes.count == 4 { return Self.isAny(self, of: Self.local4) ? .local : .global }
        if let embedded = self.mapped { return embedded.scope == .never ? .never : .local }
        return self.bytes[0] & 0xE0 == 0x20 && !Self.isAny(self, of: Self.local6) ? .global : .local
    }

    /// The IPv4 address of ::ffff:0:0/96.
    private var mapped: AddressBits? {
        guard self.bytes.count == 16, self.bytes[..<10].allSatisfy({ $0 == 0 }), self.bytes[10..<12] == [0xFF, 0xFF]
        else { return nil }
        return AddressBits(self.bytes[12...].map { String($0) }.joined(separator: "."))
    }

    private typealias Network = (address: AddressBits, prefix: Int)

    private static func isAny(_ address: AddressBits, of networks: [Network]) -> Bool {
        networks.contains { address.isIn($0.address, prefix: $0.prefix) }
    }

    private static func networks(_ texts: [String]) -> [Network] {
        texts.compactMap { text in
            let parts = text.split(separator: "/")
            guard parts.count == 2, let address = AddressBits(String(parts[0])), let prefix = Int(parts[1]) else {
                return nil
            }
            return (address, prefix)
        }
    }

    private static let never = networks([
        // This network, link-local with the metadata services, the platform services of clouds, multicast, reserved, broadcast.
        "0.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "224.0.0.0/4",
        "240.0.0.0/4", "::/128", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128",
        "64:ff9b::a9fe:0/112", "2002:a9fe::/32",
    ])
    private static let local4 = networks([
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
        "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    ])
    private static let local6 = networks(["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"])
}
