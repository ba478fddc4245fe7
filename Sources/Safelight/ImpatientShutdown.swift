import Glibc
import ServiceLifecycle
import UnixSignals

/// Ends the process at the second SIGTERM or SIGINT, whatever the drain still waits for. Nothing that was answered is lost by it: jobs
/// that were accepted are in the store, and what a client is owed it can ask for again.
struct ImpatientShutdown: Service {
    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        // Outlives the graceful shutdown, which the first signal begins; ends with the process or its task.
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var count = 0
                for await _ in signals {
                    count += 1
                    guard count > 1 else { continue }
                    Terminal.complain("safelight: stopped before the drain was over\n")
                    _exit(130)
                }
            }
            group.addTask { try await gracefulShutdown() }
            // The first to shut down is the last in the list: when this one's turn comes, the others are done.
            try await group.next()
            group.cancelAll()
        }
    }
}
