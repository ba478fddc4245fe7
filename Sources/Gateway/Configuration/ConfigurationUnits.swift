/// Quantities of `routes.json` carry their unit; a bare number is refused where one of these is expected.
package enum ConfigurationUnits {
    /// `"500ms"`, `"30s"`, `"2m"`, `"1h"`, `"1d"`: a whole number and one unit.
    package static func duration(_ text: String) -> Duration? {
        let milliseconds: [String: Int64] = ["ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
        guard let (number, unit) = self.split(text), let factor = milliseconds[unit] else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : .milliseconds(product)
    }

    /// Bytes of `"512B"`, `"64KiB"`, `"8MiB"`, `"1GiB"`, `"10kB"`, `"10MB"`, `"1GB"`.
    static func size(_ text: String) -> Int? {
        let bytes: [String: Int64] = [
            "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1000, "KB": 1000, "MB": 1_000_000,
            "GB": 1_000_000_000,
        ]
        guard let (number, unit) = self.split(text), let factor = bytes[unit] else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : Int(exactly: product)
    }

    /// `"30/min"`, `"5/s"`, `"100/hour"`, `"1000/day"`.
    static func rate(_ text: String) -> RequestRate? {
        guard let slash = text.firstIndex(of: "/"), let number = self.number(text[..<slash]), number > 0,
            let period = RequestRate.Period(rawValue: String(text[text.index(after: slash)...])),
            let quantity = Int(exactly: number)
        else { return nil }
        return RequestRate(quantity: quantity, period: period)
    }

    /// The shortest exact text of a duration, for messages.
    static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        guard attoseconds == 0 else { return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms" }
        for (unit, length) in [("d", Int64(86_400)), ("h", 3600), ("m", 60)] where seconds > 0 && seconds % length == 0
        {
            return "\(seconds / length)\(unit)"
        }
        return "\(seconds)s"
    }

    /// The shortest exact text of a number of bytes, for messages.
    static func text(bytes: Int) -> String {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] where bytes > 0 && bytes % (1 << shift) == 0 {
            return "\(bytes >> shift)\(unit)"
        }
        return "\(bytes)B"
    }

    private static func split(_ text: String) -> (number: Int64, unit: String)? {
        guard let end = text.firstIndex(where: { !("0"..."9").contains($0) }), let number = self.number(text[..<end])
        else { return nil }
        return (number, String(text[end...]))
    }

    private static func number(_ digits: Substring) -> Int64? {
        guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(digits)
    }
}

/// So many in a period.
package struct RequestRate: Hashable, Sendable {
    package var quantity: Int
    package var period: Period

    package enum Period: String, Sendable, CaseIterable {
        case second = "s"
        case minute = "min"
        case hour, day
    }
}
