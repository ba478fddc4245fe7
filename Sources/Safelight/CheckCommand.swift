import ArgumentParser
import Gateway

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Tell every problem of routes.json, or show the resolved routes.")

    @OptionGroup var configuration: ConfigurationOption

    func run() throws {
        Terminal.print(try self.configuration.load().rendered())
    }
}
