import Synchronization

@testable import Gateway

/// An upstream that counts the calls it would be paid for, and answers each as the test says.
final class CountingUpstream: Sendable {
    let url: String
    private let ledger: Ledger
    private let task: Task<Void, Never>

    private final class Ledger: Sendable {
        let bodies = Mutex<[String]>([])
    }

    /// Bodies of the calls so far. A call is counted before it is answered.
    var bodies: [String] { self.ledger.bodies.withLock { $0 } }
    var count: Int { self.bodies.count }

    init(_ answer: @escaping @Sendable (ScriptedUpstream.Visit) async -> Void) async throws {
        let upstream = try await ScriptedUpstream.start()
        let ledger = Ledger()
        self.url = upstream.url
        self.ledger = ledger
        self.task = Task {
            await withDiscardingTaskGroup { group in
                while let visit = try? await upstream.next() {
                    ledger.bodies.withLock { $0.append(visit.body) }
                    group.addTask { await answer(visit) }
                }
            }
        }
    }

    deinit { self.task.cancel() }
}
