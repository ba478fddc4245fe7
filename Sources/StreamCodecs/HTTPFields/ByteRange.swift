/// The one range of bytes that a `Range` header field asks for: RFC 9110, section 14.1.2.
///
/// A server may ignore the field, and this one ignores whatever is not exactly one range: the whole is then answered.
package enum ByteRange: Hashable, Sendable {
    /// `bytes=100-`
    case from(Int)
    /// `bytes=100-199`, both included; `last` is never before `first`.
    case span(first: Int, last: Int)
    /// `bytes=-100`: that many at the end.
    case suffix(Int)

    /// Longer fields are ignored unread, in bytes.
    package static let maximumFieldBytes = 128

    /// Nil for what is to be ignored: other units than `bytes`, several ranges, `last` before `first`, and whatever is not
    /// to the letter of the grammar. Numbers above `Int.max` count as `Int.max`.
    package init?(field: String) {
        let text = field.utf8
        guard text.count <= Self.maximumFieldBytes, let equals = text.firstIndex(of: UInt8(ascii: "=")),
            Self.isBytes(text[..<equals])
        else { return nil }
        let spec = text[text.index(after: equals)...]
        guard let dash = spec.firstIndex(of: UInt8(ascii: "-")) else { return nil }
        let before = spec[..<dash]
        let after = spec[spec.index(after: dash)...]
        guard let first = Self.position(before), let last = Self.position(after) else { return nil }
        switch (before.isEmpty, after.isEmpty) {
        case (true, true): return nil
        case (true, false): self = .suffix(last)
        case (false, true): self = .from(first)
        case (false, false):
            guard first <= last else { return nil }
            self = .span(first: first, last: last)
        }
    }

    /// The bytes meant of a representation of `size` bytes; never empty, never beyond it.
    /// - Returns: nil when the range cannot be satisfied: the answer is 416.
    package func resolved(size: Int) -> Range<Int>? {
        switch self {
        case .from(let first):
            return first < size ? first..<size : nil
        case .span(let first, let last):
            return first < size ? first..<(min(last, size - 1) + 1) : nil
        case .suffix(let count):
            return count > 0 && size > 0 ? max(0, size - count)..<size : nil
        }
    }

    /// Range units are compared without regard to case.
    private static func isBytes(_ unit: Substring.UTF8View) -> Bool {
        unit.elementsEqual("bytes".utf8) { $0 | 0x20 == $1 }
    }

    /// Decimal digits, 0 for none; nil when there is anything else among them.
    private static func position(_ digits: Substring.UTF8View) -> Int? {
        var value = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            let (product, overflows) = value.multipliedReportingOverflow(by: 10)
            let (sum, passes) = product.addingReportingOverflow(Int(digit - 0x30))
            value = overflows || passes ? .max : sum
        }
        return value
    }
}
