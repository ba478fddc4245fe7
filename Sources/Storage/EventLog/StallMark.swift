import Synchronization

/// Tells the memory budget of one client that holds payloads and takes nothing. Used from one thread at a time, but for the closing.
package final class StallMark: Sendable {
    private let budget: PayloadBudget
    private let key: PayloadBudget.Key
    private let isStalled = Atomic<Bool>(false)

    /// - Parameter close: ends the client's connection; called at most once, from any thread.
    package init(_ budget: PayloadBudget, close: @escaping @Sendable () -> Void) {
        self.budget = budget
        self.key = budget.makeKey()
        budget.register(self.key, close: close)
    }

    deinit { self.budget.forget(reader: self.key) }

    package var isSet: Bool { self.isStalled.load(ordering: .relaxed) }

    /// The client has taken nothing since now.
    /// - Parameter bytes: what is held for it.
    package func set(holding bytes: Int) {
        self.isStalled.store(true, ordering: .relaxed)
        self.budget.stalled(self.key, holding: bytes)
    }

    /// The client has taken all there is.
    package func clear() {
        guard self.isStalled.exchange(false, ordering: .relaxed) else { return }
        self.budget.moves(self.key)
    }
}
