import Glibc

/// A numeric IP address as its 4 or 16 bytes.
struct AddressBits: Equatable, Sendable {
    let bytes: [UInt8]

    init?(_ text: String) {
        for (family, width) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: width)
            if inet_pton(family, text, &bytes) == 1 {
                self.bytes = bytes
                return
            }
        }
        return nil
    }

    var isLoopback: Bool {
        self.bytes.count == 4
            ? self.bytes[0] == 127 : self.bytes.dropLast().allSatisfy { $0 == 0 } && self.bytes[15] == 1
    }

    func isIn(_ network: AddressBits, prefix: Int) -> Bool {
        guard self.bytes.count == network.bytes.count else { return false }
        return (0..<prefix).allSatisfy { bit in
            let mask = UInt8(0x80) >> UInt8(bit % 8)
            return self.bytes[bit / 8] & mask == network.bytes[bit / 8] & mask
        }
    }
}
