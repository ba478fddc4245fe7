/// The generic cell rate algorithm (GCRA): so many units in a period, so many of them at once. Exact: nothing is rounded but
/// the times it tells, and those up.
///
/// What is kept of a key is one moment, its *theoretical arrival*: when its bucket will be full again.
package struct CellRate: Hashable, Sendable {
    /// Units in a period, 1…10^12.
    package let count: Int64
    /// Nanoseconds, from 1 to a day.
    package let period: Int64
    /// Units at once, 1…10^12.
    package let burst: Int64

    package init(count: Int64, period: Int64, burst: Int64) {
        self.count = count
        self.period = period
        self.burst = burst
    }

    /// Nanoseconds and a fraction of one, in `1/count`.
    package struct Arrival: Hashable, Sendable {
        var nanoseconds: Int64
        var fraction: Int64

        /// Whether the key's bucket is full, as that of a key never seen.
        func isPast(_ now: Int64) -> Bool { self.nanoseconds < now || self.nanoseconds == now && self.fraction == 0 }
    }

    package struct Decision: Hashable, Sendable {
        package let isLimited: Bool
        /// Whole units that would still pass now.
        package let remaining: Int64
        /// Nanoseconds until the same call would pass; nil when it passed or never can.
        package let retryAfter: Int64?
        /// Nanoseconds until the bucket is full.
        package let resetAfter: Int64
        /// What to keep. After a refusal it is what was, but where the clock has jumped.
        package let arrival: Arrival?
    }

    /// - Parameters:
    ///   - arrival: what was kept; nil for a key never seen.
    ///   - quantity: units; 0 only looks.
    ///   - now: nanoseconds, at least 0.
    package func decide(_ arrival: Arrival?, quantity: Int64, now: Int64) -> Decision {
        // Times in 1/count of a nanosecond, so that one unit takes exactly `period` of them.
        let scale = Int128(self.count)
        let now = Int128(now) * scale
        let depth = Int128(self.burst) * Int128(self.period)
        var kept = arrival
        var full = arrival.map { Int128($0.nanoseconds) * scale + Int128($0.fraction) } ?? now
        if full - now > 2 * depth {
            // No sum of calls leads here: the clock was set back by more than the bucket's depth. It counts as just emptied.
            full = now + depth
            kept = self.arrival(at: full)
        }
        let start = max(full, now)
        let next = start + Int128(quantity) * Int128(self.period)
        let excess = next - depth - now
        guard quantity > 0, excess > 0 else {
            return Decision(
                isLimited: false, remaining: self.units(now + depth - next), retryAfter: nil,
                resetAfter: Self.roundedUp(next - now, scale), arrival: quantity > 0 ? self.arrival(at: next) : kept)
        }
        return Decision(
            isLimited: true, remaining: self.units(now + depth - start),
            retryAfter: quantity > self.burst ? nil : Self.roundedUp(excess, scale),
            resetAfter: Self.roundedUp(start - now, scale), arrival: kept)
    }

    /// Takes a charge back.
    package func refund(_ quantity: Int64, to arrival: Arrival) -> Arrival {
        let full = Int128(arrival.nanoseconds) * Int128(self.count) + Int128(arrival.fraction)
        return self.arrival(at: max(0, full - Int128(quantity) * Int128(self.period)))
    }

    private func arrival(at scaled: Int128) -> Arrival {
        let (nanoseconds, fraction) = scaled.quotientAndRemainder(dividingBy: Int128(self.count))
        return Arrival(nanoseconds: Int64(clamping: nanoseconds), fraction: Int64(fraction))
    }

    private func units(_ scaled: Int128) -> Int64 { scaled > 0 ? Int64(clamping: scaled / Int128(self.period)) : 0 }

    private static func roundedUp(_ scaled: Int128, _ scale: Int128) -> Int64 {
        Int64(clamping: (scaled + scale - 1) / scale)
    }
}
