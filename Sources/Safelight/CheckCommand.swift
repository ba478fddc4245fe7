import ArgumentParser
import Gateway

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Tell every problem of routes.json, or show the resolved routes.")

    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        let table = try self.configuration.load()
        Terminal.print(table.rendered())
        for upstream in table.upstreams {
            if let reason = upstream.unavailableReason {
                Terminal.print("upstream \(upstream.name) is unavailable: \(reason)\n")
            }
        }
    }
}
