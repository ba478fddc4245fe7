import Synchronization

/// Milliseconds that pass when the test says so.
final class ManualUptime: Sendable {
    private let time = Atomic<Int64>(0)
    var now: Int64 { self.time.load(ordering: .relaxed) }
    func advance(_ milliseconds: Int64) { self.time.add(milliseconds, ordering: .relaxed) }
}
