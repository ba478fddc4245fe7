import Foundation
import ImageGeneration
import NIOPosix
import SQLiteStorage
import Storage

/// A job store in a folder of its own.
struct StoredJobs: Sendable {
    let store: SQLiteJobStore
    private let folder: String

    static let now = Timestamp(milliseconds: 1_790_000_000_000)

    static func with(_ body: (StoredJobs) async throws -> Void) async throws {
        let folder = NSTemporaryDirectory() + "safelight-jobs-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = try SQLiteJobStore.open(
            SQLiteJobStore.Configuration(path: "\(folder)/jobs.db"),
            uploads: UploadFolder(folder: "\(folder)/uploads", threads: .singleton), hooks: StoreHooks { _ in })
        do {
            try await body(StoredJobs(store: store, folder: folder))
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }

    func accept(
        _ id: JobID = JobID(), owner: String? = nil, route: String = "generate", delivery: String = "inline",
        notify: String? = nil, at: Timestamp = now
    ) async throws -> JobID {
        _ = try await self.store.accept(
            AcceptedJob(
                id: id, owner: JobOwner(principal: owner, clientAddress: "192.0.2.1"), route: route,
                dialect: "unified", request: ImageRequest(operation: .generate, prompt: "a lake"), upstream: "lab",
                delivery: delivery, disconnect: "continue", mode: "auto", createdAt: at, notify: notify))
        return id
    }

    func end(_ job: JobID, with event: JobEvent = completed(), at: Timestamp = now) async throws {
        _ = try await withCheckedThrowingContinuation { continuation in
            self.store.terminal(event, of: job, at: at) { continuation.resume(with: $0) }
        }
    }

    static let image = FinishedImage(
        imageIndex: 0, imageID: ImageID(), width: 1, height: 1,
        attributes: ImageAttributes(size: "", quality: "", background: "", outputFormat: "png", createdAt: 0),
        fileSize: 1, payload: nil)

    static func completed(_ images: [FinishedImage] = [image]) -> JobEvent {
        .completed(Completion(images: images, usage: .zero, upstream: "lab", model: "", timings: Timings()))
    }
}
