import Synchronization

/// What one transport thread holds, readable from any thread.
final class TransportCounters: Sendable {
    let openCalls = Atomic(0)
    let openSockets = Atomic(0)
    /// Sockets that a call uses.
    let watchedSockets = Atomic(0)
    let openSessions = Atomic(0)
}

extension Atomic where Value == Int {
    borrowing func increase() { self.wrappingAdd(1, ordering: .relaxed) }
    borrowing func decrease() { self.wrappingSubtract(1, ordering: .relaxed) }
    var current: Int { self.load(ordering: .relaxed) }
}
