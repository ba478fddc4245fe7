import ImageGeneration
import Logging
import Storage
import Synchronization
import Testing
import Tokens

@testable import Gateway

/// Tokens as the gateway knows them, by a store and a clock that the test sets.
struct TokenDirectoryTests {
    private final class Shelf: TokenStore {
        private let content = Mutex<(revision: Int64, tokens: [StoredToken])>((0, []))
        private let reads = Number(0)

        var readCount: Int64 { self.reads.value }

        func put(_ tokens: StoredToken...) {
            self.content.withLock { $0 = ($0.revision + 1, tokens) }
        }

        func tokenRevision() async throws(GatewayError) -> Int64 { self.content.withLock { $0.revision } }

        func tokens() async throws(GatewayError) -> [StoredToken] {
            self.reads.add(1)
            return self.content.withLock { $0.tokens }
        }
    }

    private final class Number: Sendable {
        private let atomic: Atomic<Int64>

        init(_ value: Int64) { self.atomic = Atomic(value) }

        var value: Int64 { self.atomic.load(ordering: .relaxed) }

        func add(_ value: Int64) { self.atomic.add(value, ordering: .relaxed) }
    }

    private static let start: Int64 = 1_790_000_000_000
    private let shelf = Shelf()
    private let now = Number(TokenDirectoryTests.start)
    private let directory: TokenDirectory
    private let token = StaticToken.make()

    init() {
        let now = self.now
        self.directory = TokenDirectory(
            store: self.shelf, now: { Timestamp(milliseconds: now.value) }, clock: ContinuousClock(),
            logger: Logger(label: "tokens") { _ in SwiftLogNoOpLogHandler() })
    }

    private func stored(_ change: (inout StoredToken) -> Void = { _ in }) -> StoredToken {
        var stored = StoredToken(
            id: self.token.id, name: "a", digest: TokenDigest(of: self.token.secret).text,
            createdAt: Timestamp(milliseconds: Self.start))
        change(&stored)
        return stored
    }

    private func fault(_ token: StaticToken) -> CredentialFault? {
        do throws(CredentialFault) {
            _ = try self.directory.verify(token)
            return nil
        } catch {
            return error
        }
    }

    @Test func aTokenCountsFromTheNextLookAtTheStoreUntilItsEnd() async throws {
        #expect(self.fault(self.token) == .unknown)
        self.shelf.put(self.stored { $0.expiresAt = Timestamp(milliseconds: Self.start + 10) })
        try await self.directory.refresh()
        #expect(self.fault(self.token) == nil)
        #expect(self.fault(StaticToken.make()) == .unknown)
        self.now.add(10)
        #expect(self.fault(self.token) == .expired)
        self.shelf.put(self.stored { $0.revokedAt = Timestamp(milliseconds: Self.start) })
        #expect(self.fault(self.token) == .expired)
        try await self.directory.refresh()
        #expect(self.fault(self.token) == .revoked)
        self.shelf.put()
        try await self.directory.refresh()
        #expect(self.fault(self.token) == .unknown)
    }

    @Test func anotherSecretUnderTheSameNameIsUnknown() async throws {
        self.shelf.put(self.stored { $0.digest = TokenDigest(of: StaticToken.make().secret).text })
        try await self.directory.refresh()
        #expect(self.fault(self.token) == .unknown)
        self.shelf.put(self.stored { $0.digest = "damaged" })
        try await self.directory.refresh()
        #expect(self.fault(self.token) == .unknown)
    }

    @Test func theStoreIsReadOnlyWhenSomethingChanged() async throws {
        self.shelf.put(self.stored())
        for _ in 0..<5 { try await self.directory.refresh() }
        #expect(self.shelf.readCount == 1)
    }

    @Test func whatIsUnderWayEndsWithItsToken() async throws {
        self.shelf.put(self.stored())
        try await self.directory.refresh()
        let ended = Number(0)
        let kept = self.directory.watch(self.token.id) { ended.add(1) }
        let givenUp = self.directory.watch(self.token.id) { ended.add(10) }
        self.directory.endWatched()
        #expect(ended.value == 0)
        givenUp.giveUp()
        self.shelf.put(self.stored { $0.revokedAt = Timestamp(milliseconds: Self.start) })
        try await self.directory.refresh()
        self.directory.endWatched()
        self.directory.endWatched()
        #expect(ended.value == 1)
        kept.giveUp()
    }
}
