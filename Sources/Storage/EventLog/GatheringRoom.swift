package import ImageGeneration
import Synchronization

/// Room for an event that an upstream is still sending. It grows ahead of the bytes, and becomes the event's lease when the event
/// is whole. Used by one job; granted from any thread.
package final class GatheringRoom: Sendable {
    let key: PayloadBudget.Key
    private let budget: PayloadBudget
    /// In bytes.
    private let reserved = Atomic<Int>(0)
    /// Holds or waits for bytes.
    private let isCounted = Atomic<Bool>(false)
    private let isWaiting = Atomic<Bool>(false)
    /// Has waited, and was given some of what its event needs.
    private let hasBeenServed = Atomic<Bool>(false)

    package init(_ budget: PayloadBudget) {
        self.budget = budget
        self.key = budget.makeKey()
    }

    deinit { self.release() }

    /// Bytes that may be gathered.
    package var bytes: Int { self.reserved.load(ordering: .relaxed) }

    /// Makes the room as large as `bytes`.
    /// - Parameter answer: called later, on another thread, unless this returns true: with true once there is room, with false when
    ///   there will be none. Until then nothing may be gathered.
    package func grow(to bytes: Int, answer: @escaping @Sendable (Bool) -> Void) -> Bool {
        let more = bytes - self.bytes
        guard more > 0 else { return true }
        if !self.isCounted.exchange(true, ordering: .relaxed) { self.budget.gatherers.add(1, ordering: .relaxed) }
        self.isWaiting.store(true, ordering: .releasing)
        guard self.budget.reserve(more, self, answer: answer) else { return false }
        self.waitIsOver()
        self.granted(more)
        return true
    }

    func granted(_ bytes: Int) {
        self.reserved.add(bytes, ordering: .relaxed)
        self.budget.gathered.add(bytes, ordering: .relaxed)
    }

    var wasServed: Bool { self.hasBeenServed.load(ordering: .relaxed) }

    func noteServed() { self.hasBeenServed.store(true, ordering: .relaxed) }

    func waitIsOver() { self.isWaiting.store(false, ordering: .releasing) }

    /// The event is whole: its bytes are counted by the lease from now on, and the room is empty. If it waits for more it goes on waiting.
    /// - Parameters:
    ///   - bytes: what the payload holds.
    ///   - isPrecious: counted even above the limit.
    /// - Returns: nil when there is no room.
    package func turn(into bytes: Int, isPrecious: Bool) -> PayloadLease? {
        let had = self.take(staysCounted: self.isWaiting.load(ordering: .acquiring))
        guard bytes > had else {
            self.budget.release(had - bytes)
            return self.budget.makeLease(bytes)
        }
        if isPrecious {
            self.budget.force(bytes - had)
        } else if !self.budget.add(bytes - had), !(self.budget.reclaim(bytes - had) && self.budget.add(bytes - had)) {
            self.budget.release(had)
            return nil
        }
        return self.budget.makeLease(bytes)
    }

    /// Gives all bytes back, and waits no longer.
    package func release() {
        guard self.isCounted.load(ordering: .relaxed) else { return }
        self.budget.stopWaiting(self.key)
        self.waitIsOver()
        let bytes = self.take(staysCounted: false)
        if bytes > 0 { self.budget.release(bytes) }
    }

    private func take(staysCounted: Bool) -> Int {
        guard self.isCounted.load(ordering: .relaxed) else { return 0 }
        self.hasBeenServed.store(false, ordering: .relaxed)
        let bytes = self.reserved.exchange(0, ordering: .relaxed)
        self.budget.gathered.subtract(bytes, ordering: .relaxed)
        if !staysCounted, self.isCounted.exchange(false, ordering: .relaxed) {
            self.budget.gatherers.subtract(1, ordering: .relaxed)
            self.budget.serveSoon()
        }
        return bytes
    }
}
