import ArgumentParser
import Gateway
import ImageGeneration
import SQLiteStorage
import Storage
import Tokens

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list and revoke tokens. A gateway that runs follows within a second.",
        subcommands: [Create.self, List.self, Revoke.self])

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token and show it, this once.",
            discussion: "The token goes to standard output alone, so that a script can take it from there.")

        @OptionGroup var file: ConfigurationOption

        @Argument(help: "What to call it, for lists.")
        var name: String

        @Option(help: "A scope that it has; may be given several times. \"admin\" reaches everybody's jobs.")
        var scope: [String] = []

        @Option(help: "A route that it is good for; may be given several times. Default: all.")
        var route: [String] = []

        @Option(help: "Limits that count for it besides the route's; may be given several times.")
        var limit: [String] = []

        @Option(help: "How long it is good for, such as 90d. Default: until it is revoked.")
        var expires: String?

        func run() throws {
            let table = try self.file.load(tellsWarnings: false)
            let now = Terminal.now()
            let token = StaticToken.make()
            var stored = StoredToken(
                id: token.id, name: try self.checkedName(), digest: TokenDigest(of: token.secret).text,
                scopes: self.scope, routes: self.route.isEmpty ? nil : self.route, limits: self.limit, createdAt: now)
            stored.expiresAt = try self.end(from: now)
            try self.check(table)
            try TokenCommand.withStore(table) { try $0.add(stored) }
            Terminal.complain("\(stored.id) is made. Keep what follows: it is not shown again.\n")
            Terminal.print("\(token.text)\n")
        }

        private func checkedName() throws -> String {
            guard (1...128).contains(self.name.utf8.count),
                !self.name.unicodeScalars.contains(where: { $0.value < 0x20 })
            else { throw ValidationError("A name has 1 to 128 bytes and no control characters.") }
            return self.name
        }

        private func check(_ table: RouteTable) throws {
            if let scope = self.scope.first(where: { !$0.isScope }) {
                throw ValidationError("\"\(scope)\" is no scope.")
            }
            if let route = self.route.first(where: { name in !table.routes.contains { $0.name == name } }) {
                throw ValidationError("There is no route \"\(route)\".")
            }
            if let limit = self.limit.first(where: { table.limits[$0] == nil }) {
                throw ValidationError("There are no limits \"\(limit)\".")
            }
        }

        private func end(from now: Timestamp) throws -> Timestamp? {
            guard let expires = self.expires else { return nil }
            guard let duration = ConfigurationUnits.duration(expires), duration > .zero,
                duration <= .seconds(3650 * 86_400)
            else { throw ValidationError("\"\(expires)\" is no duration such as 90d.") }
            return now.advanced(byMilliseconds: duration.components.seconds * 1000)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show all tokens, without their secrets.")

        @OptionGroup var file: ConfigurationOption

        func run() throws {
            let table = try self.file.load(tellsWarnings: false)
            let now = Terminal.now()
            let rows = try TokenCommand.withStore(table) { try $0.tokens() }.map { token in
                [
                    token.id, token.name, Self.state(token, now), Self.day(token.createdAt),
                    token.expiresAt.map(Self.day) ?? "-", Self.words(token.scopes), Self.words(token.routes ?? ["all"]),
                    Self.words(token.limits),
                ]
            }
            Terminal.print(
                TextTable.aligned(
                    [["TOKEN", "NAME", "STATE", "MADE", "EXPIRES", "SCOPES", "ROUTES", "LIMITS"]] + rows))
        }

        private static func state(_ token: StoredToken, _ now: Timestamp) -> String {
            token.revokedAt != nil ? "revoked" : token.isGood(at: now) ? "good" : "expired"
        }

        private static func day(_ time: Timestamp) -> String { String(time.rfc3339.prefix(10)) }

        private static func words(_ words: [String]) -> String { words.isEmpty ? "-" : words.joined(separator: ", ") }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a token worthless; its streams end too.")

        @OptionGroup var file: ConfigurationOption

        @Argument(help: "The token's name in lists, tok_….")
        var token: String

        func run() throws {
            let table = try self.file.load(tellsWarnings: false)
            let isKnown = try TokenCommand.withStore(table) { try $0.revoke(self.token, at: Terminal.now()) }
            guard isKnown else { throw ValidationError("There is no token \(self.token).") }
            Terminal.complain("\(self.token) is revoked.\n")
        }
    }

    /// Opens the database that `storage.jobs` names.
    static func withStore<Value>(
        _ table: RouteTable, _ body: (StoreAdministration) throws -> Value
    ) throws -> Value {
        guard let database = table.storage.jobs?.database else {
            throw ValidationError("Tokens and accounts are kept in storage.jobs, which routes.json does not have.")
        }
        let store: StoreAdministration
        do {
            store = try StoreAdministration.open(database)
        } catch {
            Terminal.complain("safelight: \(error)\n")
            throw ExitCode(1)
        }
        defer { store.close() }
        return try body(store)
    }
}
