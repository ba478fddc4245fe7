package import ImageGeneration

/// So many units in a calendar day, UTC.
package struct DailyQuota: Hashable, Sendable {
    /// Units, at least 1.
    package let limit: Int64

    package init(limit: Int64) { self.limit = limit }

    private static let dayMilliseconds: Int64 = 86_400_000

    /// What was used on the newest day seen and on the day before it, so that a clock set back over midnight finds its day again.
    package struct Use: Hashable, Sendable {
        /// Days since 1970-01-01.
        var day: Int64
        var used: Int64 = 0
        var usedBefore: Int64 = 0
    }

    package struct Decision: Hashable, Sendable {
        package let isLimited: Bool
        package let remaining: Int64
        /// Nanoseconds until the same call would pass; nil when it passed or never can.
        package let retryAfter: Int64?
        /// Nanoseconds until the next day.
        package let resetAfter: Int64
        /// What to keep.
        package let use: Use
        /// The day that was charged.
        package let day: Int64
    }

    package static func day(of time: Timestamp) -> Int64 {
        let (quotient, remainder) = time.milliseconds.quotientAndRemainder(dividingBy: Self.dayMilliseconds)
        return remainder < 0 ? quotient - 1 : quotient
    }

    /// - Parameters:
    ///   - use: what was kept; nil for a key never seen.
    ///   - quantity: units; 0 only looks.
    package func decide(_ use: Use?, quantity: Int64, now: Timestamp) -> Decision {
        let today = Self.day(of: now)
        var use = Self.current(use, today)
        let isDayBefore = today < use.day
        let used = isDayBefore ? use.usedBefore : use.used
        let reset = ((today + 1) * Self.dayMilliseconds - now.milliseconds) * 1_000_000
        let room = max(0, self.limit - used)
        guard quantity <= room else {
            return Decision(
                isLimited: true, remaining: room, retryAfter: quantity > self.limit ? nil : reset, resetAfter: reset,
                use: use, day: today)
        }
        if isDayBefore { use.usedBefore += quantity } else { use.used += quantity }
        return Decision(
            isLimited: false, remaining: room - quantity, retryAfter: nil, resetAfter: reset, use: use, day: today)
    }

    private static func current(_ use: Use?, _ today: Int64) -> Use {
        guard let use else { return Use(day: today) }
        if today > use.day { return Use(day: today, usedBefore: today == use.day + 1 ? use.used : 0) }
        // Set back by more than a day: the newest count stands for today, so that nobody gains and nobody waits longer than a day.
        if today < use.day - 1 { return Use(day: today, used: max(use.used, use.usedBefore)) }
        return use
    }

    /// Takes a charge of that day back.
    package static func refund(_ quantity: Int64, of day: Int64, to use: Use) -> Use {
        var use = use
        if day == use.day { use.used = max(0, use.used - quantity) }
        if day == use.day - 1 { use.usedBefore = max(0, use.usedBefore - quantity) }
        return use
    }
}
