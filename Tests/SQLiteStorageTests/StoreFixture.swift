import Dispatch
import Foundation
import ImageGeneration
import NIOCore
import NIOPosix
import Storage
import Synchronization
import Testing

@testable import SQLiteStorage

/// A folder of its own for each test, and the stores opened in it.
final class StoreFixture: Sendable {
    let folder: String
    /// One thread, so that work is done in order.
    let threads = NIOThreadPool(numberOfThreads: 1)
    let commits = CommitLog()

    init() throws {
        self.folder = NSTemporaryDirectory() + "safelight-store-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: self.folder, withIntermediateDirectories: true)
        self.threads.start()
    }

    var path: String { "\(self.folder)/jobs.db" }
    var uploadPath: String { "\(self.folder)/uploads" }

    func configuration(_ change: (inout SQLiteJobStore.Configuration) -> Void = { _ in })
        -> SQLiteJobStore.Configuration
    {
        var configuration = SQLiteJobStore.Configuration(path: self.path)
        change(&configuration)
        return configuration
    }

    func open(_ change: (inout SQLiteJobStore.Configuration) -> Void = { _ in }) throws -> SQLiteJobStore {
        try SQLiteJobStore.open(
            self.configuration(change), uploads: UploadFolder(folder: self.uploadPath, threads: self.threads),
            hooks: self.commits.hooks)
    }

    static func with(
        _ change: (inout SQLiteJobStore.Configuration) -> Void = { _ in },
        _ body: (SQLiteJobStore, StoreFixture) async throws -> Void
    ) async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open(change)
        do {
            try await body(store, fixture)
        } catch {
            await fixture.end(store)
            throw error
        }
        await fixture.end(store)
    }

    /// Copies database and log as they are now, as a crash would leave them.
    /// - Parameter withIndex: also what lives in shared memory, which a crash of the machine loses.
    func copy(to name: String, withIndex: Bool) throws -> String {
        let target = "\(self.folder)/\(name)"
        try? FileManager.default.removeItem(atPath: target)
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
        for suffix in ["", "-wal"] + (withIndex ? ["-shm"] : []) {
            try FileManager.default.copyItem(atPath: self.path + suffix, toPath: "\(target)/jobs.db\(suffix)")
        }
        return "\(target)/jobs.db"
    }

    func openCopy(_ path: String) throws -> SQLiteJobStore {
        try SQLiteJobStore.open(
            SQLiteJobStore.Configuration(path: path),
            uploads: UploadFolder(folder: "\(path).uploads", threads: self.threads), hooks: StoreHooks { _ in })
    }

    /// Until the files asked to be removed are.
    func waitForFiles() async throws { try await self.threads.runIfActive {} }

    func end(_ store: SQLiteJobStore) async {
        self.commits.openGate()
        await store.close()
        try? await self.threads.shutdownGracefully()
        try? FileManager.default.removeItem(atPath: self.folder)
    }
}

/// What the writer did; can hold it inside a commit.
final class CommitLog: Sendable {
    private struct State {
        var sizes: [Int] = []
        var fatal: [String] = []
        var health: [StoreHealth] = []
        var failure: (any Error)?
        var isGated = false
        var isHeld = false
    }

    private let state = Mutex(State())
    private let gate = DispatchSemaphore(value: 0)

    var hooks: StoreHooks {
        StoreHooks(
            onFatal: { line in self.state.withLock { $0.fatal.append(line) } },
            onHealth: { health in self.state.withLock { $0.health.append(health) } },
            willCommit: { _ in try self.willCommit() },
            didCommit: { count in if count > 0 { self.state.withLock { $0.sizes.append(count) } } })
    }

    /// Writes in each commit so far.
    var sizes: [Int] { self.state.withLock { $0.sizes } }
    var fatal: [String] { self.state.withLock { $0.fatal } }
    var health: [StoreHealth] { self.state.withLock { $0.health } }

    /// Fails every commit from now on.
    func fail(with error: (any Error)?) { self.state.withLock { $0.failure = error } }

    /// Holds the next commit.
    func closeGate() { self.state.withLock { $0.isGated = true } }

    func openGate() {
        let held = self.state.withLock { state in
            state.isGated = false
            defer { state.isHeld = false }
            return state.isHeld
        }
        if held { self.gate.signal() }
    }

    func waitUntilHeld() async {
        while !Task.isCancelled, !self.state.withLock({ $0.isHeld }) { await Task.yield() }
    }

    private func willCommit() throws {
        let (held, failure) = self.state.withLock { state in
            state.isHeld = state.isGated
            return (state.isHeld, state.failure)
        }
        if held { self.gate.wait() }
        if let failure { throw failure }
    }
}

enum Samples {
    static let now = Timestamp(milliseconds: 1_790_000_000_000)

    static func job(
        _ id: JobID = JobID(), principal: String? = "alice", address: String = "192.0.2.1", prompt: String = "a lamp",
        route: String = "images", at: Timestamp = now, key: String? = nil, digest: String = "d1", notify: String? = nil
    ) -> AcceptedJob {
        var request = ImageRequest(operation: .generate, prompt: prompt)
        request.model = "gpt-image-1"
        return AcceptedJob(
            id: id, owner: JobOwner(principal: principal, clientAddress: address), route: route, dialect: "unified",
            request: request, upstream: "openai", delivery: "inline", disconnect: "continue", mode: "auto",
            createdAt: at, idempotency: key.map { IdempotencyKey(key: $0, digest: digest) }, notify: notify)
    }

    static func image(_ index: Int, id: ImageID = ImageID()) -> FinishedImage {
        FinishedImage(
            imageIndex: index, imageID: id, width: 1024, height: 1536,
            attributes: ImageAttributes(
                size: "1024x1536", quality: "high", background: "opaque", outputFormat: "png",
                createdAt: 1_790_000_000),
            fileSize: 1_500_000,
            usage: Usage(inputTokens: 1, inputTextTokens: 2, inputImageTokens: 3, outputTokens: 4, totalTokens: 5),
            revisedPrompt: "a red lamp")
    }

    static func completed(_ images: [FinishedImage] = [image(0)]) -> JobEvent {
        .completed(
            Completion(
                images: images, failures: [ImageFailure(imageIndex: 1, code: .refused, message: "no")],
                usage: Usage(totalTokens: 9), cost: 0.125, upstream: "openai", model: "gpt-image-1",
                timings: Timings(queued: 1, firstPreview: 2, generating: 3, uploading: 4, total: 10)))
    }
}

extension SQLiteJobStore {
    func submitting(_ submission: Submission, of job: JobID) async throws {
        try await withCheckedThrowingContinuation { continuation in
            self.submitting(submission, of: job) { continuation.resume(with: $0) }
        }
    }

    func handle(_ handle: String, of job: JobID, attempt: Int, imageIndex: Int) async throws {
        try await withCheckedThrowingContinuation { continuation in
            self.handle(handle, of: job, attempt: attempt, imageIndex: imageIndex) { continuation.resume(with: $0) }
        }
    }

    @discardableResult
    func terminal(
        _ event: JobEvent, of job: JobID, at: Timestamp = Samples.now
    ) async throws -> TerminalOutcome {
        try await withCheckedThrowingContinuation { continuation in
            self.terminal(event, of: job, at: at) { continuation.resume(with: $0) }
        }
    }

    /// Waits until `count` writes wait for the next commit.
    func waitForWaiting(_ count: Int) async {
        while self.writer.waitingCount < count { await Task.yield() }
    }

    /// Waits until a commit has taken all that waited.
    func waitForNothingWaiting() async {
        while self.writer.waitingCount > 0 { await Task.yield() }
    }
}

extension GatewayError.Code {
    /// The code an operation fails with; nil when it succeeds.
    static func of(_ body: () async throws -> Void) async -> GatewayError.Code? {
        do {
            try await body()
            return nil
        } catch let error as GatewayError {
            return error.code
        } catch {
            Issue.record("unexpected \(error)")
            return nil
        }
    }
}

/// Expects that an operation fails with a code.
func expectFailure(
    _ code: GatewayError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async {
    let found = await GatewayError.Code.of(body)
    #expect(found == code, sourceLocation: sourceLocation)
}
