/// Values of number texts that are known to fit JSON's grammar.
enum JSONNumber {
    /// The exact value when it is integral and fits; nil otherwise.
    static func integer(_ text: UnsafeRawBufferPointer) -> Int64? {
        let isNegative = text.first == 0x2D
        var digits = text[(isNegative ? 1 : 0)...]
        var exponent = 0
        if let mark = digits.firstIndex(where: { $0 | 0x20 == 0x65 }) {
            guard let value = Self.exponent(digits[(mark + 1)...]) else {
                return digits[..<mark].allSatisfy({ $0 == 0x30 || $0 == 0x2E }) ? 0 : nil
            }
            exponent = value
            digits = digits[..<mark]
        }
        let point = digits.firstIndex(of: 0x2E) ?? digits.endIndex
        /// Digits that stand before the decimal point once the exponent has moved it.
        let integral = point - digits.startIndex + exponent
        var magnitude: UInt64 = 0
        var seen = 0
        for byte in digits where byte != 0x2E {
            defer { seen += 1 }
            guard seen < integral else {
                guard byte == 0x30 else { return nil }
                continue
            }
            guard let next = Self.shifted(magnitude, adding: byte - 0x30) else { return nil }
            magnitude = next
        }
        while seen < integral, magnitude != 0 {
            guard let next = Self.shifted(magnitude, adding: 0) else { return nil }
            magnitude = next
            seen += 1
        }
        guard isNegative else { return Int64(exactly: magnitude) }
        return magnitude == 1 << 63 ? Int64.min : Int64(exactly: magnitude).map { -$0 }
    }

    /// The nearest `Double`; nil beyond its range.
    static func double(_ text: UnsafeRawBufferPointer) -> Double? {
        guard let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite else { return nil }
        return value
    }

    private static func shifted(_ magnitude: UInt64, adding digit: UInt8) -> UInt64? {
        let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
        return overflow || carry ? nil : sum
    }

    /// The exponent with its sign; nil beyond a billion, where only zero stays integral and in range.
    private static func exponent(_ text: Slice<UnsafeRawBufferPointer>) -> Int? {
        var value = 0
        for byte in text where byte != 0x2B && byte != 0x2D {
            value = value * 10 + Int(byte - 0x30)
            if value > 1_000_000_000 { return nil }
        }
        return text.first == 0x2D ? -value : value
    }
}
