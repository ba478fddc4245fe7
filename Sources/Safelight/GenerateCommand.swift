import ArgumentParser
import Gateway
import Glibc
import ImageGeneration
import Logging
import NIOCore
import NIOPosix
import Storage
import StreamCodecs
import Transport

struct GenerateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Make a picture and watch it develop in the terminal.")

    @Argument(help: "What the picture shows.")
    var prompt: String

    @OptionGroup var configuration: ConfigurationOption

    @Option(help: "Ask a running gateway, http://host:port, instead of doing the work in this process.")
    var server: String?

    @Option(help: "Name of the route to use, with --server its path; default: the first that generates, /v1/generate.")
    var route: String?

    @Option(help: "Folder for previews and pictures; made if absent.")
    var out = "."

    @Option(help: "Size, as 1024x1024 or auto.")
    var size: String?

    @Option(help: "Quality, in the upstream's words.")
    var quality: String?

    @Option(help: "Model, in the upstream's words.")
    var model: String?

    @Option(help: "Previews to ask for, 0 to 3.")
    var previews = 2

    @Option(name: .customShort("n"), help: "Pictures to ask for.")
    var count = 1

    @Option(help: "Seed, where the upstream takes one.")
    var seed: Int64?

    func validate() throws {
        guard (0...3).contains(self.previews) else { throw ValidationError("--previews takes 0 to 3.") }
        guard (1...10).contains(self.count) else { throw ValidationError("-n takes 1 to 10.") }
        if let server = self.server, !server.hasPrefix("http://"), !server.hasPrefix("https://") {
            throw ValidationError("--server takes an address such as http://127.0.0.1:8080.")
        }
    }

    func run() async throws {
        // The display says what becomes of the job.
        let logger = Terminal.startLogging(.error)
        try self.makeFolder()
        let transport = try CurlTransport()
        try transport.start()
        defer { transport.shutdown() }
        if let server = self.server {
            let root = server.hasSuffix("/") ? String(server.dropLast()) : server
            let token = getenv("SAFELIGHT_TOKEN").map { String(cString: $0) }
            let remote = RemoteGeneration(
                server: root, path: self.route ?? "/v1/generate", token: token, transport: transport)
            try await self.show(remote.events(self.request))
            return
        }
        let table = try self.configuration.load(tellsWarnings: false)
        guard table.upstreams.contains(where: { $0.base == .simulator }) else {
            return try await self.generate(table, simulator: nil, transport, logger)
        }
        try await EmbeddedSimulator.run(logger: logger) {
            try await self.generate(table, simulator: $0, transport, logger)
        }
    }

    private func generate(
        _ table: RouteTable, simulator: String?, _ transport: CurlTransport, _ logger: Logger
    ) async throws {
        let local = try LocalGateway(
            table: table, simulator: simulator, transport: transport, now: Terminal.now, logger: logger)
        let job: Job
        do {
            job = try local.start(self.request, route: self.route)
        } catch {
            Terminal.complain("safelight: \(error.code.rawValue): \(error.message)\n")
            throw ExitCode(1)
        }
        try await self.show(LocalGeneration.events(job))
    }

    /// Before anything is asked for, so that no picture is paid for and then lost.
    private func makeFolder() throws {
        do {
            try StateFolder.make(self.out)
        } catch {
            Terminal.complain("safelight: \(error)\n")
            throw ExitCode(1)
        }
    }

    private var request: ImageRequest {
        var request = ImageRequest(operation: .generate, prompt: self.prompt)
        request.size = self.size.map { .named($0) }
        request.quality = self.quality
        request.model = self.model
        request.partialImages = self.previews
        request.count = self.count
        request.seed = self.seed
        return request
    }

    private func show(_ events: AsyncStream<GenerationEvent>) async throws {
        var display = GenerationDisplay(folder: self.out, isScreen: Terminal.isScreen(STDERR_FILENO))
        for await event in events { try display.show(event) }
        guard display.hasPicture else { throw ExitCode(1) }
    }
}
