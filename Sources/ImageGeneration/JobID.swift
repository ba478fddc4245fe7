/// Names one job: `job_` and 26 lower-case base32 characters that hold 128 random bits.
///
/// For jobs of nobody the id is the capability by which the job is reached, so it comes from the system's generator.
package struct JobID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package var description: String { self.text }

    package init() {
        var generator = SystemRandomNumberGenerator()
        self.init(high: generator.next(), low: generator.next())
    }

    package init(high: UInt64, low: UInt64) {
        self.text = "job_" + Base32.encode(high: high, low: low)
    }

    /// Accepts only the exact form this type writes; anything else is nil.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 30, text.hasPrefix("job_"), text.utf8.dropFirst(4).allSatisfy(Base32.contains) else {
            return nil
        }
        self.text = String(text)
    }
}

/// Names one finished image: `img_` and 26 base32 characters.
package struct ImageID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package var description: String { self.text }

    package init() {
        var generator = SystemRandomNumberGenerator()
        self.text = "img_" + Base32.encode(high: generator.next(), low: generator.next())
    }

    /// Accepts only the exact form this type writes; anything else is nil.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 30, text.hasPrefix("img_"), text.utf8.dropFirst(4).allSatisfy(Base32.contains) else {
            return nil
        }
        self.text = String(text)
    }
}

/// Lower-case RFC 4648 base32 without padding, for 128-bit ids.
package enum Base32 {
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    package static func encode(high: UInt64, low: UInt64) -> String {
        String(unsafeUninitializedCapacity: 26) { target in
            var high = high
            var low = low
            for index in 0..<26 {
                target[index] = Self.alphabet[Int(high >> 59)]
                high = (high << 5) | (low >> 59)
                low <<= 5
            }
            return 26
        }
    }

    package static func contains(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x32...0x37).contains(byte)
    }
}
