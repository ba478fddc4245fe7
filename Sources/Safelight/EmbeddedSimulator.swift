import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Simulator

/// The simulator inside the gateway's process, on a loopback port of the system's choice. Runs while `body` does.
enum EmbeddedSimulator {
    /// - Parameter body: gets the simulator's root URL.
    static func run<Result: Sendable>(
        logger: Logger, _ body: @Sendable (_ root: String) async throws -> Result
    ) async throws -> Result {
        let (addresses, found) = AsyncStream.makeStream(of: Int.self)
        let simulator = Simulator(
            configuration: SimulatorConfiguration(host: "127.0.0.1", port: 0, defaults: SimulatorScript()),
            logger: logger
        ) { address in
            if let port = address.port { found.yield(port) }
            found.finish()
        }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { found.finish() }
                try await simulator.run()
            }
            guard let port = await addresses.first(where: { _ in true }) else {
                try await group.next()
                throw CancellationError()
            }
            let result = try await body("http://127.0.0.1:\(port)")
            group.cancelAll()
            return result
        }
    }
}
