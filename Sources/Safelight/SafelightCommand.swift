import ArgumentParser

@main
struct SafelightCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "safelight",
        abstract: "A gateway between frontends and image generators that shows pictures developing.",
        version: "0.1.0",
        subcommands: [
            ServeCommand.self, CheckCommand.self, SimulateCommand.self, GenerateCommand.self,
            TokenCommand.self, UsageCommand.self,
        ],
        defaultSubcommand: ServeCommand.self)
}
