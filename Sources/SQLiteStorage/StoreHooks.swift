/// Whether jobs can be stored, for readiness.
package enum StoreHealth: Hashable, Sendable {
    case writing
    /// No room on the disk. Tried again each second.
    case full
    /// Another program holds the database, or memory is short. Tried again each second.
    case unanswered
    /// For good: the process has to end.
    case failed
}

/// What the composition root and tests are told. Called from the writer's thread.
package struct StoreHooks: Sendable {
    /// Once: the process has to end. One line.
    package var onFatal: @Sendable (String) -> Void
    /// When it changes.
    package var onHealth: @Sendable (StoreHealth) -> Void
    /// Before each commit, with the number of writes in it. What it throws fails the commit.
    package var willCommit: @Sendable (Int) throws -> Void
    package var didCommit: @Sendable (Int) -> Void

    package init(
        onFatal: @escaping @Sendable (String) -> Void, onHealth: @escaping @Sendable (StoreHealth) -> Void = { _ in },
        willCommit: @escaping @Sendable (Int) throws -> Void = { _ in },
        didCommit: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.onFatal = onFatal
        self.onHealth = onHealth
        self.willCommit = willCommit
        self.didCommit = didCommit
    }
}
