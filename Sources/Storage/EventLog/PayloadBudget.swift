package import ImageGeneration
import Synchronization

/// Bytes of payload the process holds, counted by capacity until the last reference is gone.
package final class PayloadBudget: Sendable {
    /// In bytes.
    package let limit: Int
    fileprivate let held = Atomic<Int>(0)
    fileprivate let peak = Atomic<Int>(0)
    private let reclaimer = Mutex<(@Sendable (Int) -> Bool)?>(nil)

    package init(limit: Int) { self.limit = limit }

    package var heldBytes: Int { self.held.load(ordering: .relaxed) }

    /// The most that was held since this was last asked.
    package func takePeak() -> Int { self.peak.exchange(self.heldBytes, ordering: .relaxed) }

    /// Whether another job may start: its first payload would find no room above the limit.
    package var isExhausted: Bool { self.heldBytes >= self.limit }

    /// Who can let go of payloads that are kept for convenience: called with the bytes wanted, from any thread, and answers whether
    /// anything was freed.
    package func onPressure(_ reclaim: (@Sendable (Int) -> Bool)?) {
        self.reclaimer.withLock { $0 = reclaim }
    }

    /// - Returns: whether anything was freed.
    @discardableResult
    package func reclaim(_ bytes: Int) -> Bool {
        self.reclaimer.withLock { $0 }?(bytes) ?? false
    }

    /// Counts `bytes` until the lease is gone. Nil when the limit would be passed whatever is let go.
    package func lease(_ bytes: Int) -> PayloadLease? {
        if let lease = self.leaseNow(bytes) { return lease }
        return self.reclaim(bytes) ? self.leaseNow(bytes) : nil
    }

    private func leaseNow(_ bytes: Int) -> PayloadLease? {
        let (_, after) = self.held.add(bytes, ordering: .relaxed)
        self.peak.max(after, ordering: .relaxed)
        guard after <= self.limit else {
            self.held.subtract(bytes, ordering: .relaxed)
            return nil
        }
        return PayloadLease(bytes: bytes) { [self] in self.held.subtract($0, ordering: .relaxed) }
    }
}

extension PayloadBudget {
    /// Counts `bytes` even above the limit: for what must not be lost, a finished picture.
    package func leaseAlways(_ bytes: Int) -> PayloadLease {
        let (_, after) = self.held.add(bytes, ordering: .relaxed)
        self.peak.max(after, ordering: .relaxed)
        if after > self.limit { self.reclaim(after - self.limit) }
        return PayloadLease(bytes: bytes) { [self] in self.held.subtract($0, ordering: .relaxed) }
    }
}
