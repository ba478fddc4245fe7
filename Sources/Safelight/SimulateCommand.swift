import ArgumentParser
import Gateway
import Glibc
import Logging
import NIOCore
import ServiceLifecycle
import Simulator
import UnixSignals

struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Speak the upstream side of every provider and draw pictures that develop.",
        discussion: "Timing and faults are scripted by `[sim …]` in the prompt; see docs/simulator.md.")

    @Option(help: "Where to listen.")
    var listen = ListenAddress(host: "127.0.0.1", port: 9100)

    @Option(
        help: "How fast pictures develop: \(SimulatorScript.Profile.allCases.map(\.rawValue).joined(separator: ", ")).")
    var profile = "normal"

    @Option(help: "Defaults for every request, as in `[sim …]`: \"previews=2 duration=500ms\".")
    var script = ""

    @Option(help: "Answer every POST with this recorded transcript (.sse, .json, .http).")
    var replay: String?

    @Option(help: "Least severe log level that is shown.")
    var logLevel = LogLevel.info

    func run() async throws {
        guard let profile = SimulatorScript.Profile(rawValue: self.profile) else {
            throw ValidationError("There is no profile '\(self.profile)'.")
        }
        var script = SimulatorScript(profile: profile)
        do {
            try script.apply(self.script)
        } catch {
            throw ValidationError(error.message)
        }
        let configuration = SimulatorConfiguration(
            host: self.listen.host, port: self.listen.port, defaults: script, replay: try await self.transcript())
        let logger = Terminal.startLogging(self.logLevel.level)
        let simulator = Simulator(configuration: configuration, logger: logger) { address in
            Terminal.print("The simulator listens on http://\(self.listen.host):\(address.port ?? self.listen.port)\n")
        }
        let group = ServiceGroup(
            configuration: .init(
                services: [ListenerService(simulator, at: self.listen, of: "--listen")],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            try await group.run()
        } catch {
            Terminal.complain("safelight: \(Terminal.describe(error))\n")
            throw ExitCode(1)
        }
    }

    private func transcript() async throws -> ReplayTranscript? {
        guard let path = self.replay else { return nil }
        do {
            return try await ReplayTranscript.load(path: path)
        } catch {
            throw ValidationError("\(path): \(error)")
        }
    }
}
