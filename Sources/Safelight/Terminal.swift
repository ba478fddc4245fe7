import ArgumentParser
import Gateway
import Glibc
import ImageGeneration
import Logging
import NIOCore

/// What the commands share at the rim: standard streams, the clock, the log.
enum Terminal {
    /// For people and scripts that read the command's result.
    static func print(_ text: String) { Self.write(text, to: STDOUT_FILENO) }

    /// For what is wrong or worth knowing besides the result.
    static func complain(_ text: String) { Self.write(text, to: STDERR_FILENO) }

    /// Whether `descriptor` is a screen that can redraw a line.
    static func isScreen(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    /// Logs go to standard error, a line each.
    static func startLogging(_ level: Logger.Level) -> Logger {
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        return Logger(label: "safelight")
    }

    /// One line about what ended a command. System errors come with the name of a function that means nothing to a user.
    static func describe(_ error: any Error) -> String {
        (error as? IOError).map { "\(String(cString: strerror($0.errnoCode)))." } ?? "\(error)"
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }
}

extension ListenAddress: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}

/// `--log-level`.
struct LogLevel: ExpressibleByArgument {
    let level: Logger.Level

    static let info = LogLevel(level: .info)
    static var allValueStrings: [String] { Logger.Level.allCases.map(\.rawValue) }

    var defaultValueDescription: String { self.level.rawValue }

    private init(level: Logger.Level) { self.level = level }

    init?(argument: String) {
        guard let level = Logger.Level(rawValue: argument) else { return nil }
        self.level = level
    }
}

/// `routes.json` as a command reads it.
struct ConfigurationOption: ParsableArguments {
    @Option(name: .long, help: "The configuration file.")
    var config = "routes.json"

    /// Prints what is wrong or worth knowing.
    /// - Throws: `ExitCode(1)` when the file cannot be used.
    func load(tellsWarnings: Bool = true) throws -> RouteTable {
        let loaded = RoutesFile.load(self.config)
        for problem in loaded.problems where tellsWarnings || problem.severity == .error {
            Terminal.complain(problem.rendered(file: self.config) + "\n")
        }
        guard let table = loaded.table else { throw ExitCode(1) }
        return table
    }

    /// Where the gateway keeps what it makes itself.
    var stateFolder: String {
        guard let slash = self.config.lastIndex(of: "/") else { return "var" }
        return "\(self.config[..<slash])/var"
    }
}
