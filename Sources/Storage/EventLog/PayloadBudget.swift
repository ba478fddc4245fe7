package import ImageGeneration
import Synchronization

/// Bytes of payload the process holds, counted by capacity until the last reference is gone.
package final class PayloadBudget: Sendable {
    /// In bytes.
    package let limit: Int
    fileprivate let held = Atomic<Int>(0)
    fileprivate let peak = Atomic<Int>(0)

    package init(limit: Int) { self.limit = limit }

    package var heldBytes: Int { self.held.load(ordering: .relaxed) }

    /// The most that was held since this was last asked.
    package func takePeak() -> Int { self.peak.exchange(self.heldBytes, ordering: .relaxed) }

    /// Whether another job may start: its first payload would find no room above the limit.
    package var isExhausted: Bool { self.heldBytes >= self.limit }

    /// Counts `bytes` until the lease is gone. Nil when the limit would be passed.
    package func lease(_ bytes: Int) -> PayloadLease? {
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
        return PayloadLease(bytes: bytes) { [self] in self.held.subtract($0, ordering: .relaxed) }
    }
}
