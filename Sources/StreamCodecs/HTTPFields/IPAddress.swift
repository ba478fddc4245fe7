/// An IP address in 16 bytes. An IPv4 address is the same whether it came as such or mapped into IPv6 (`::ffff:192.0.2.1`).
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(ipv4: UInt32) { self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(ipv4)) }

    package var isIPv4: Bool { self.high == 0 && self.low >> 32 == 0xFFFF }

    /// Strict: IPv4 in four decimal numbers without leading zeros; IPv6 as in RFC 4291 without zone and brackets.
    package init?(_ text: some StringProtocol) {
        var parser = IPAddressParser(text.utf8)
        guard let address = parser.parse() else { return nil }
        self = address
    }

    /// As in RFC 5952: lower case, the longest run of zeros cut.
    package var description: String {
        if self.isIPv4 {
            return (0..<4).map { String(self.low >> (24 - 8 * UInt64($0)) & 0xFF) }.joined(separator: ".")
        }
        let groups = self.groups
        let cut = Self.longestZeros(groups)
        guard cut.count > 1 else { return Self.text(groups[...]) }
        return Self.text(groups[..<cut.lowerBound]) + "::" + Self.text(groups[cut.upperBound...])
    }

    private var groups: [UInt16] {
        (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? self.high : self.low) >> (48 - 16 * UInt64($0 % 4))) }
    }

    private static func text(_ groups: ArraySlice<UInt16>) -> String {
        groups.map { String($0, radix: 16) }.joined(separator: ":")
    }

    private static func longestZeros(_ groups: [UInt16]) -> Range<Int> {
        var longest = 0..<0
        var start = 0
        for index in 0...groups.count where index == groups.count || groups[index] != 0 {
            if index - start > longest.count { longest = start..<index }
            start = index + 1
        }
        return longest
    }
}

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`; an address alone is a block of one.
package struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
    package let address: IPAddress
    /// Leading bits that count, 0…128; of IPv4 96 more than are written.
    private let bits: Int

    /// Nil for what is no block, also where bits behind its prefix are set.
    package init?(_ text: String) {
        let slash = text.firstIndex(of: "/") ?? text.endIndex
        guard let address = IPAddress(text[..<slash]) else { return nil }
        // A mapped address with a prefix could mean either length.
        if address.isIPv4, text[..<slash].contains(":") { return nil }
        let width = address.isIPv4 ? 32 : 128
        var prefix = width
        if slash < text.endIndex {
            let digits = text[text.index(after: slash)...]
            guard (1...3).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(digits), number <= width, String(number) == digits
            else { return nil }
            prefix = number
        }
        self.address = address
        self.bits = prefix + 128 - width
        guard self.masked(address) == address else { return nil }
    }

    package func contains(_ address: IPAddress) -> Bool { self.masked(address) == self.address }

    package var description: String {
        "\(self.address)/\(self.address.isIPv4 ? self.bits - 96 : self.bits)"
    }

    private func masked(_ address: IPAddress) -> IPAddress {
        IPAddress(high: address.high & Self.mask(self.bits), low: address.low & Self.mask(self.bits - 64))
    }

    private static func mask(_ bits: Int) -> UInt64 {
        bits <= 0 ? 0 : bits >= 64 ? .max : .max << UInt64(64 - bits)
    }
}

/// Reads an address to its last byte.
private struct IPAddressParser {
    private let bytes: [UInt8]
    private var at = 0

    private static let maximumBytes = 45

    init(_ text: some Collection<UInt8>) {
        self.bytes = Array(text.prefix(Self.maximumBytes + 1))
    }

    mutating func parse() -> IPAddress? {
        guard !self.bytes.isEmpty, self.bytes.count <= Self.maximumBytes else { return nil }
        if self.bytes.contains(0x3A) { return self.ipv6() }
        return self.ipv4().map { IPAddress(ipv4: $0) }
    }

    private var next: UInt8? { self.at < self.bytes.count ? self.bytes[self.at] : nil }

    /// Four numbers up to the end of the text.
    private mutating func ipv4() -> UInt32? {
        var value: UInt32 = 0
        for index in 0..<4 {
            if index > 0 {
                guard self.next == 0x2E else { return nil }
                self.at += 1
            }
            guard let octet = self.octet() else { return nil }
            value = value << 8 | octet
        }
        return self.at == self.bytes.count ? value : nil
    }

    private mutating func octet() -> UInt32? {
        let start = self.at
        var value: UInt32 = 0
        while let byte = self.next, (0x30...0x39).contains(byte), self.at - start < 3 {
            value = value * 10 + UInt32(byte - 0x30)
            self.at += 1
        }
        let length = self.at - start
        guard length > 0, value <= 255, length == 1 || self.bytes[start] != 0x30 else { return nil }
        return value
    }

    private mutating func ipv6() -> IPAddress? {
        var groups: [UInt16] = []
        /// Groups before the `::`.
        var gap: Int?
        if self.bytes.starts(with: [0x3A, 0x3A]) {
            gap = 0
            self.at = 2
        }
        while self.at < self.bytes.count {
            guard groups.count < 8 else { return nil }
            if self.isDotted {
                guard groups.count <= 6, let tail = self.ipv4() else { return nil }
                groups += [UInt16(tail >> 16), UInt16(truncatingIfNeeded: tail)]
                break
            }
            guard let group = self.group() else { return nil }
            groups.append(group)
            guard let separator = self.next else { break }
            guard separator == 0x3A else { return nil }
            self.at += 1
            if self.next == 0x3A {
                guard gap == nil else { return nil }
                gap = groups.count
                self.at += 1
            } else if self.next == nil {
                return nil
            }
        }
        return Self.assemble(groups, gap: gap)
    }

    /// Whether the rest is an IPv4 address rather than groups.
    private var isDotted: Bool {
        let rest = self.bytes[self.at...]
        return rest.contains(0x2E) && !rest.contains(0x3A)
    }

    private mutating func group() -> UInt16? {
        let start = self.at
        var value: UInt16 = 0
        while let byte = self.next, self.at - start < 4 {
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt16(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt16(byte - 0x37)
            case 0x61...0x66: value = value << 4 | UInt16(byte - 0x57)
            default: return self.at > start ? value : nil
            }
            self.at += 1
        }
        return self.at > start ? value : nil
    }

    private static func assemble(_ groups: [UInt16], gap: Int?) -> IPAddress? {
        var all = groups
        if let gap {
            guard groups.count < 8 else { return nil }
            all.insert(contentsOf: [UInt16](repeating: 0, count: 8 - groups.count), at: gap)
        }
        guard all.count == 8 else { return nil }
        let high = all[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = all[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        return IPAddress(high: high, low: low)
    }
}
