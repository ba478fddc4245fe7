#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Where the simulator's time comes from.
package struct SimulatorTime: Sendable {
    /// For waiting.
    package let clock: any Clock<Duration>
    /// For the age of jobs, which outlive the process.
    package let unixMilliseconds: @Sendable () -> Int64

    package init(
        clock: any Clock<Duration> = ContinuousClock(),
        unixMilliseconds: @escaping @Sendable () -> Int64 = SimulatorTime.systemMilliseconds
    ) {
        self.clock = clock
        self.unixMilliseconds = unixMilliseconds
    }

    @Sendable
    package static func systemMilliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// RFC 3339 in UTC, to the millisecond.
    static func text(unixMilliseconds: Int64) -> String {
        let days = Int((Double(unixMilliseconds) / 86_400_000).rounded(.down))
        let rest = Int(unixMilliseconds) - days * 86_400_000
        // Days since 0000-03-01, so that the leap day is the last of its year; 146097 days are 400 years.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let date = "\(self.digits(year, 4))-\(self.digits(month, 2))-\(self.digits(day, 2))"
        let clock = [rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60].map { self.digits($0, 2) }
        return "\(date)T\(clock.joined(separator: ":")).\(self.digits(rest % 1000, 3))Z"
    }

    private static func digits(_ number: Int, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }
}

extension Duration {
    /// Whole milliseconds, rounded down.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
