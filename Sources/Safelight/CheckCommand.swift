import ArgumentParser
import Gateway
import ImageGeneration

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Tell every problem of routes.json, or show the resolved routes.")

    @OptionGroup var configuration: ConfigurationOption

    @Option(
        help: ArgumentHelp(
            "Show what would become of a request: its route, limits and upstream, and what the upstream would be sent. Calls nobody.",
            discussion:
                "For example --explain 'POST /v1/images/generations model=gpt-image-1 prompt=\"a lake\"', or with the body as one JSON object behind the path.",
            valueName: "request"))
    var explain: String?

    func run() throws {
        let table = try self.configuration.load()
        guard let explain = self.explain else { return Terminal.print(table.rendered()) }
        do {
            Terminal.print(try RouteExplanation(explain, table: table).text)
        } catch let error as GatewayError {
            throw ValidationError("\(error.code.rawValue): \(error.message)")
        }
    }
}
