import ArgumentParser
import Gateway
import ImageGeneration
import NIOCore
import SQLiteStorage
import Storage
import StreamCodecs

struct UsageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "usage", abstract: "Show what has been used: jobs, pictures, tokens of upstreams, cost.")

    @OptionGroup var file: ConfigurationOption

    @Option(help: "Only from so long ago on, such as 30d; whole days, in UTC. Default: all.")
    var since: String?

    @Option(help: "Only this principal's, such as tok_….")
    var principal: String?

    @Option(help: "One line for each: \(Grouping.allCases.map(\.rawValue).joined(separator: ", ")).")
    var by: [Grouping] = [.principal, .route]

    @Flag(help: "As JSON, an object a line.")
    var json = false

    enum Grouping: String, ExpressibleByArgument, CaseIterable { case day, principal, route }

    func run() throws {
        let table = try self.file.load(tellsWarnings: false)
        let query = UsageQuery(since: try self.firstDay(), principal: self.principal)
        let accounts = try TokenCommand.withStore(table) { try $0.usage(query) }
        let lines = self.summed(accounts)
        Terminal.print(self.json ? lines.map(self.object).joined() : self.table(lines))
    }

    private struct Line {
        let account: UsageAccount
        var sums: UsageAccount.Sums
    }

    private func firstDay() throws -> Int64? {
        guard let since = self.since else { return nil }
        guard let duration = ConfigurationUnits.duration(since) else {
            throw ValidationError("\"\(since)\" is no duration such as 30d.")
        }
        return UsageAccount.day(of: Terminal.now().advanced(byMilliseconds: -duration.components.seconds * 1000))
    }

    /// In the order of their first account.
    private func summed(_ accounts: [UsageAccount]) -> [Line] {
        var lines: [Line] = []
        var places: [[String]: Int] = [:]
        for account in accounts {
            let key = self.by.map { self.text($0, account) }
            if let place = places[key] {
                lines[place].sums = lines[place].sums + account.sums
            } else {
                places[key] = lines.count
                lines.append(Line(account: account, sums: account.sums))
            }
        }
        return lines
    }

    private func text(_ grouping: Grouping, _ account: UsageAccount) -> String {
        switch grouping {
        case .day: String(Timestamp(milliseconds: account.day * UsageAccount.millisecondsOfDay).rfc3339.prefix(10))
        case .principal: account.principal.isEmpty ? "nobody" : account.principal
        case .route: account.route
        }
    }

    private func table(_ lines: [Line]) -> String {
        let head =
            self.by.map { $0.rawValue.uppercased() } + ["JOBS", "FAILED", "IMAGES", "INPUT", "OUTPUT", "COST"]
        let rows = lines.map { line in
            self.by.map { self.text($0, line.account) } + [
                "\(line.sums.jobs)", "\(line.sums.failures)", "\(line.sums.images)", "\(line.sums.inputTokens)",
                "\(line.sums.outputTokens)", "\(Double(line.sums.cost) / 1000)",
            ]
        }
        return TextTable.aligned([head] + rows)
    }

    private func object(_ line: Line) -> String {
        var json = JSONWriter()
        json.beginObject()
        for grouping in self.by {
            json.key(dynamic: grouping.rawValue)
            json.value(self.text(grouping, line.account))
        }
        json.field("jobs", line.sums.jobs)
        json.field("failed", line.sums.failures)
        json.field("images", line.sums.images)
        json.field("input_tokens", line.sums.inputTokens)
        json.field("output_tokens", line.sums.outputTokens)
        json.field("cost", Double(line.sums.cost) / 1000)
        json.endObject()
        return String(buffer: json.buffer) + "\n"
    }
}
