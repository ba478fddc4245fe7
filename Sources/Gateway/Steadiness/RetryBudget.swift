/// Bounds how much retries add to what an upstream is asked: a share of the calls of the last ten seconds, so that an upstream in
/// trouble is not asked several times as much by the very fact that it is.
///
/// A value without clock: times are milliseconds of any clock that does not go back.
struct RetryBudget: Sendable {
    /// Retries that are always allowed within the window.
    static let floor = 3
    /// In per cent of first calls.
    static let share = 20

    private static let slots = 10
    private static let slotMilliseconds: Int64 = 1000

    private struct Slot: Sendable {
        var second: Int64 = -1
        var calls = 0
        var retries = 0
    }

    private var ring = [Slot](repeating: Slot(), count: Self.slots)

    /// A job's first call.
    mutating func noteCall(now: Int64) { self.ring[self.slot(now)].calls += 1 }

    /// Takes one retry out of the budget.
    /// - Returns: false when nothing is left.
    mutating func takeRetry(now: Int64) -> Bool {
        let oldest = now / Self.slotMilliseconds - Int64(Self.slots)
        let recent = self.ring.filter { $0.second > oldest }
        let calls = recent.reduce(0) { $0 + $1.calls }
        let retries = recent.reduce(0) { $0 + $1.retries }
        guard retries < max(Self.floor, calls * Self.share / 100) else { return false }
        self.ring[self.slot(now)].retries += 1
        return true
    }

    private mutating func slot(_ now: Int64) -> Int {
        let second = now / Self.slotMilliseconds
        let index = Int(second % Int64(Self.slots))
        if self.ring[index].second != second { self.ring[index] = Slot(second: second) }
        return index
    }
}
