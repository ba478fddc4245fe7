import ImageGeneration
import Logging
import Storage
import Tokens

/// Everything by which callers are known.
struct Credentials: Sendable {
    let authenticator: Authenticator
    let directory: TokenDirectory
    let issuers: IssuerKeys
    let keys: SigningKeys
    let uses = TicketUses()

    /// - Parameter epoch: the start of this process.
    /// - Throws: what an operator must mend, each with a text of one line.
    init(_ options: GatewayServer.Options, tables: TableHolder, epoch: UInt32, logger: Logger) throws {
        guard let keys = SigningKeys(secrets: try options.table.auth.ticketSecret.read(logger)) else {
            throw UpstreamProblem(upstream: "auth.tickets", message: "a signing secret needs at least 16 bytes")
        }
        self.keys = keys
        let directory = TokenDirectory(
            store: options.jobStore?.tokens, now: options.now, clock: options.clock, logger: logger)
        let issuers = IssuerKeys(
            IssuerKeys.Environment(
                transport: options.transport, issuers: { tables.current.table.auth.issuers }, steady: options.steady,
                clock: options.clock, logger: logger))
        self.directory = directory
        self.issuers = issuers
        self.authenticator = Authenticator(
            directory: directory, issuers: issuers, keys: keys, epoch: epoch, now: options.now, logger: logger)
    }
}
