/// Names one job: `job_` and 26 lower-case base32 characters that hold 128 random bits.
///
/// For jobs of nobody the id is the capability by which the job is reached, so it comes from the system's generator.
package struct JobID: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package var description: String { self.text }

    package init() {
        var generator = PooledRandomNumbers()
        self.init(high: generator.next(), low: generator.next())
    }

    package init(high: UInt64, low: UInt64) {
        self.text = Base32.encode("job_", high: high, low: low)
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
        var generator = PooledRandomNumbers()
        self.text = Base32.encode("img_", high: generator.next(), low: generator.next())
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

    /// `prefix`, which is ASCII, and 26 characters.
    package static func encode(_ prefix: StaticString, high: UInt64, low: UInt64) -> String {
        let start = prefix.utf8CodeUnitCount
        return String(unsafeUninitializedCapacity: start + 26) { target in
            prefix.withUTF8Buffer { _ = target.update(fromContentsOf: $0) }
            var high = high
            var low = low
            for index in start..<start + 26 {
                target[index] = Self.alphabet[Int(high >> 59)]
                high = (high << 5) | (low >> 59)
                low <<= 5
            }
            return start + 26
        }
    }

    package static func contains(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x32...0x37).contains(byte)
    }
}
