import Crypto
import ImageGeneration
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Tokens
import Transport

/// The keys of the issuers that the table names, and the tokens that were found good with them.
final class IssuerKeys: Service {
    struct Environment: Sendable {
        var transport: any UpstreamTransport
        /// As configured now.
        var issuers: @Sendable () -> [RouteTable.Auth.Issuer]
        /// Nanoseconds of a clock that nobody sets.
        var steady: @Sendable () -> Int64
        var clock: any Clock<Duration>
        var logger: Logger

        fileprivate var seconds: Int64 { self.steady() / 1_000_000_000 }
    }

    private struct Entry {
        var schedule: KeySetSchedule
        var keys: VerificationKeySet?
        var document: ByteBuffer?
    }

    private struct State {
        var entries: [RouteTable.Auth.Issuer: Entry] = [:]
        /// By the SHA-256 of the whole token.
        var verified: [SHA256Digest: (claims: TokenClaims, issuer: RouteTable.Auth.Issuer)] = [:]
        /// Rises whenever keys change.
        var generation = 0
    }

    private let environment: Environment
    private let state = Mutex(State())

    private static let interval = Duration.seconds(1)
    /// Tokens; with all they say, some 16 MB.
    private static let maximumVerified = 4096

    init(_ environment: Environment) { self.environment = environment }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            repeat { await self.fetchDue() } while (try? await self.environment.clock.sleep(for: Self.interval)) != nil
        }
    }

    // MARK: Tokens

    /// - Throws: why the token does not count.
    func verify(_ text: String, now: Timestamp) throws(CredentialFault) -> TokenClaims {
        let digest = SHA256.hash(data: Array(text.utf8))
        let issuers = self.environment.issuers()
        if let known = self.state.withLock({ $0.verified[digest] }), issuers.contains(known.issuer) {
            guard now.milliseconds < known.claims.expiresAt.milliseconds + TokenClaims.leeway else { throw .claims }
            return known.claims
        }
        guard let token = CompactJWS(text) else { throw .malformed }
        guard let stated = TokenClaims.statedIssuer(token.payload),
            let issuer = issuers.first(where: { $0.policy.issuer == stated })
        else { throw .claims }
        let generation = self.state.withLock { $0.generation }
        guard try self.key(for: token, of: issuer).verifies(token) else { throw .signature }
        guard let claims = TokenClaims(token.payload, issuer.policy, now: now) else { throw .claims }
        self.state.withLock { state in
            // Keys that came meanwhile may be without the one that it was checked by.
            guard state.generation == generation else { return }
            if state.verified.count >= Self.maximumVerified { state.verified.removeAll(keepingCapacity: true) }
            state.verified[digest] = (claims, issuer)
        }
        return claims
    }

    private func key(
        for token: CompactJWS, of issuer: RouteTable.Auth.Issuer
    ) throws(CredentialFault) -> VerificationKey {
        guard let keys = self.state.withLock({ $0.entries[issuer]?.keys }) else { throw .keysUnavailable }
        switch keys.find(for: token) {
        case .key(let key): return key
        case .unsuitable: throw .signature
        case .unknown:
            let now = self.environment.seconds
            self.state.withLock { $0.entries[issuer]?.schedule.missed(at: now) }
            throw .signature
        }
    }

    // MARK: Keys

    /// Fetches what is due, one issuer beside the other.
    func fetchDue() async {
        let now = self.environment.seconds
        let issuers = self.environment.issuers()
        let due = self.state.withLock { state in
            for issuer in state.entries.keys where !issuers.contains(issuer) { state.entries[issuer] = nil }
            for issuer in issuers where state.entries[issuer] == nil {
                state.entries[issuer] = Entry(schedule: KeySetSchedule(now: now))
            }
            return issuers.filter { state.entries[$0]?.schedule.isDue(at: now) == true }
        }
        await withDiscardingTaskGroup { group in
            for issuer in due { group.addTask { await self.fetch(issuer) } }
        }
    }

    private func fetch(_ issuer: RouteTable.Auth.Issuer) async {
        let document = await KeySetFetch.document(at: issuer.keySetURL, over: self.environment.transport)
        var keys: VerificationKeySet?
        if let document { keys = await VerificationKeySet(document, allowed: issuer.algorithms) }
        let now = self.environment.seconds
        guard let keys else {
            guard !Task.isCancelled else { return }
            self.state.withLock { $0.entries[issuer]?.schedule.failed(at: now) }
            self.environment.logger.warning(
                document == nil ? "keys of an issuer not fetched" : "an issuer's keys are of no use",
                metadata: ["issuer": "\(issuer.policy.issuer)"])
            return
        }
        let isNew = self.state.withLock { state in
            let isNew = state.entries[issuer]?.document != document
            state.entries[issuer]?.schedule.succeeded(at: now)
            state.entries[issuer]?.keys = keys
            state.entries[issuer]?.document = document
            // A key that is gone takes its tokens with it.
            if isNew {
                state.verified.removeAll(keepingCapacity: true)
                state.generation += 1
            }
            return isNew
        }
        if isNew {
            self.environment.logger.info(
                "keys of an issuer read", metadata: ["issuer": "\(issuer.policy.issuer)", "keys": "\(keys.count)"])
        }
    }
}
