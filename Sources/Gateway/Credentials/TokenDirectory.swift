import ImageGeneration
import Logging
import ServiceLifecycle
import Storage
import Synchronization
import Tokens

/// The static tokens, in memory: looked up for each request, read again from the store when they have changed there.
final class TokenDirectory: Service {
    private struct State {
        var revision: Int64?
        var tokens: [String: Entry] = [:]
        var watches: [String: [UInt64: @Sendable () -> Void]] = [:]
        var nextWatch: UInt64 = 0
    }

    struct Entry: Sendable {
        let token: StoredToken
        /// Nil for a digest that cannot be read: nothing matches it.
        fileprivate let digest: TokenDigest?
    }

    private let store: (any TokenStore)?
    private let now: @Sendable () -> Timestamp
    private let clock: any Clock<Duration>
    private let logger: Logger
    private let state = Mutex(State())

    /// How soon a token that was made or revoked elsewhere is seen.
    private static let interval = Duration.seconds(1)
    /// Takes as long to compare with as a token that is there.
    private static let decoy = TokenDigest(of: "")

    /// - Parameter store: nil where no tokens are kept.
    init(
        store: (any TokenStore)?, now: @escaping @Sendable () -> Timestamp, clock: any Clock<Duration>, logger: Logger
    ) {
        self.store = store
        self.now = now
        self.clock = clock
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await self.clock.sleep(for: Self.interval)) != nil {
                // The store itself tells its operator; what is known goes on to count.
                try? await self.refresh()
                self.endWatched()
            }
        }
    }

    /// - Throws: `storage_unavailable`.
    func refresh() async throws(GatewayError) {
        guard let store = self.store else { return }
        let revision = try await store.tokenRevision()
        guard self.state.withLock({ $0.revision }) != revision else { return }
        let tokens = try await store.tokens()
        let entries = tokens.map { ($0.id, Entry(token: $0, digest: TokenDigest($0.digest))) }
        self.state.withLock { state in
            state.revision = revision
            state.tokens = Dictionary(entries, uniquingKeysWith: { _, last in last })
        }
        let good = tokens.count { $0.isGood(at: self.now()) }
        self.logger.info("tokens read", metadata: ["good": "\(good)", "known": "\(tokens.count)"])
    }

    /// - Throws: why it does not count.
    func verify(_ presented: StaticToken) throws(CredentialFault) -> StoredToken {
        let entry = self.state.withLock { $0.tokens[presented.id] }
        let isRight = (entry?.digest ?? Self.decoy).matches(presented.secret)
        guard let entry, isRight else { throw .unknown }
        return try self.checked(entry.token)
    }

    /// A token by its name, as a ticket made with it says.
    func find(_ id: String) throws(CredentialFault) -> StoredToken {
        guard let entry = self.state.withLock({ $0.tokens[id] }) else { throw .unknown }
        return try self.checked(entry.token)
    }

    /// Names of the limits that a token's jobs count under, also once it does not count itself; none for other principals.
    func limits(of principal: String) -> [String] {
        self.state.withLock { $0.tokens[principal]?.token.limits } ?? []
    }

    private func checked(_ token: StoredToken) throws(CredentialFault) -> StoredToken {
        if token.revokedAt != nil { throw .revoked }
        guard token.isGood(at: self.now()) else { throw .expired }
        return token
    }

    // MARK: Responses under way

    /// Calls `end` once the token does not count any more, unless the watch is given up before.
    func watch(_ token: String, end: @escaping @Sendable () -> Void) -> Watch {
        self.state.withLock { state in
            state.nextWatch += 1
            state.watches[token, default: [:]][state.nextWatch] = end
            return Watch(directory: self, token: token, number: state.nextWatch)
        }
    }

    struct Watch: Sendable {
        fileprivate let directory: TokenDirectory
        fileprivate let token: String
        fileprivate let number: UInt64

        func giveUp() { self.directory.giveUp(self) }
    }

    private func giveUp(_ watch: Watch) {
        self.state.withLock { state in
            state.watches[watch.token]?[watch.number] = nil
            if state.watches[watch.token]?.isEmpty == true { state.watches[watch.token] = nil }
        }
    }

    /// Ends the responses whose token does not count any more.
    func endWatched() {
        let now = self.now()
        let endings = self.state.withLock { state in
            let over = state.watches.keys.filter { state.tokens[$0]?.token.isGood(at: now) != true }
            return over.flatMap { state.watches.removeValue(forKey: $0)?.map(\.value) ?? [] }
        }
        if !endings.isEmpty {
            self.logger.notice("responses of revoked tokens ended", metadata: ["count": "\(endings.count)"])
        }
        for end in endings { end() }
    }
}

/// Why a credential does not count. For logs; the client learns that it does not.
enum CredentialFault: String, Error, Sendable {
    /// None of the forms there are.
    case malformed
    case unknown, revoked, expired
    /// Of a signed token: the signature, its key, or its algorithm.
    case signature
    /// Of a signed token: nobody we know, for somebody else, or not now.
    case claims
    /// A ticket that cannot be carried this way, or serves another page.
    case carrier
    /// A ticket of an earlier process, which counted its uses.
    case restarted
    /// It names limits that the file does not have: it would be without them.
    case limits
    /// Its issuer's keys cannot be had now.
    case keysUnavailable = "keys_unavailable"
}
