/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z. Read at the rim and passed in.
package struct Timestamp: Hashable, Comparable, Sendable {
    package let milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }
    package init(seconds: Int64) { self.milliseconds = seconds * 1000 }

    /// Whole seconds, rounded down.
    package var seconds: Int64 { self.milliseconds / 1000 }

    package static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }

    package func advanced(byMilliseconds delta: Int64) -> Timestamp {
        Timestamp(milliseconds: self.milliseconds + delta)
    }

    /// RFC 3339 in UTC with milliseconds, `2026-11-21T12:00:00.000Z`; 24 ASCII bytes for years 0…9999.
    package var rfc3339: String {
        String(unsafeUninitializedCapacity: 24) { target in
            self.writeRFC3339(into: target)
            return 24
        }
    }

    /// Writes the 24 bytes of ``rfc3339``.
    package func writeRFC3339(into target: UnsafeMutableBufferPointer<UInt8>) {
        let days = Int(self.milliseconds.flooredDivision(by: 86_400_000))
        let inDay = Int(self.milliseconds - Int64(days) * 86_400_000)
        let (year, month, day) = Self.civil(fromDays: days)
        func put(_ value: Int, _ width: Int, at offset: Int) {
            var value = value
            for index in stride(from: offset + width - 1, through: offset, by: -1) {
                target[index] = UInt8(0x30 + value % 10)
                value /= 10
            }
        }
        put(year, 4, at: 0)
        put(month, 2, at: 5)
        put(day, 2, at: 8)
        put(inDay / 3_600_000, 2, at: 11)
        put(inDay / 60_000 % 60, 2, at: 14)
        put(inDay / 1000 % 60, 2, at: 17)
        put(inDay % 1000, 3, at: 20)
        for (offset, byte) in [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "."), (23, "Z")] {
            target[offset] = byte.utf8.first ?? 0
        }
    }

    /// Days since 1970-01-01 to year, month, day in the proleptic Gregorian calendar, by 400-year eras that begin in March.
    private static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
