/// Deadlines in order, with removal and change of any of them: a binary heap whose entries know their place.
/// All operations but `next` are O(log n).
struct TimerHeap<Element> {
    /// Names one inserted timer. Stays unique after the timer has gone, so a stale token does nothing.
    struct Token: Hashable, Sendable {
        fileprivate let slot: Int
        fileprivate let generation: UInt64
    }

    private struct Slot {
        var element: Element?
        var deadline: UInt64 = 0
        var position = -1
        var generation: UInt64 = 0
    }

    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    /// Slot numbers, the earliest deadline first.
    private var order: [Int] = []

    var count: Int { self.order.count }

    /// The earliest deadline.
    var next: UInt64? { self.order.first.map { self.slots[$0].deadline } }

    mutating func insert(_ element: Element, at deadline: UInt64) -> Token {
        let slot = self.freeSlots.popLast() ?? self.slots.count
        if slot == self.slots.count { self.slots.append(Slot()) }
        self.slots[slot].element = element
        self.slots[slot].deadline = deadline
        self.slots[slot].generation += 1
        self.slots[slot].position = self.order.count
        self.order.append(slot)
        self.siftUp(self.order.count - 1)
        return Token(slot: slot, generation: self.slots[slot].generation)
    }

    /// False when the timer has fired or was removed.
    @discardableResult
    mutating func move(_ token: Token, to deadline: UInt64) -> Bool {
        guard let position = self.position(of: token) else { return false }
        self.slots[token.slot].deadline = deadline
        self.siftUp(position)
        self.siftDown(self.slots[token.slot].position)
        return true
    }

    @discardableResult
    mutating func remove(_ token: Token) -> Element? {
        guard let position = self.position(of: token) else { return nil }
        return self.removeEntry(at: position)
    }

    /// Takes the earliest timer whose deadline is not after `now`.
    mutating func popExpired(now: UInt64) -> Element? {
        guard let next = self.next, next <= now else { return nil }
        return self.removeEntry(at: 0)
    }

    private func position(of token: Token) -> Int? {
        guard token.slot < self.slots.count, self.slots[token.slot].generation == token.generation,
            self.slots[token.slot].position >= 0
        else { return nil }
        return self.slots[token.slot].position
    }

    private mutating func removeEntry(at position: Int) -> Element? {
        let slot = self.order[position]
        let last = self.order.count - 1
        self.swapEntries(position, last)
        self.order.removeLast()
        if position < last {
            let moved = self.order[position]
            self.siftUp(position)
            self.siftDown(self.slots[moved].position)
        }
        let element = self.slots[slot].element
        self.slots[slot].element = nil
        self.slots[slot].position = -1
        self.freeSlots.append(slot)
        return element
    }

    private func isEarlier(_ left: Int, _ right: Int) -> Bool {
        self.slots[self.order[left]].deadline < self.slots[self.order[right]].deadline
    }

    private mutating func swapEntries(_ left: Int, _ right: Int) {
        self.order.swapAt(left, right)
        self.slots[self.order[left]].position = left
        self.slots[self.order[right]].position = right
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.isEarlier(child, parent) else { return }
            self.swapEntries(child, parent)
            child = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var parent = start
        while true {
            var earliest = parent
            for child in (2 * parent + 1)...(2 * parent + 2) where child < self.order.count {
                if self.isEarlier(child, earliest) { earliest = child }
            }
            guard earliest != parent else { return }
            self.swapEntries(parent, earliest)
            parent = earliest
        }
    }
}
