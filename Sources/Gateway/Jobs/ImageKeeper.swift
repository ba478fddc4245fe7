import ImageGeneration
import NIOCore
import ServiceLifecycle
import Storage
import Synchronization

/// Stores finished pictures in the background and signs their URLs. Work given to it is done even while the gateway drains.
final class ImageKeeper: Service {
    typealias Completed = @Sendable (Result<SignedURL?, GatewayError>) -> Void

    private struct Work: Sendable {
        let payload: ImagePayload
        let id: ImageID
        let format: ImageFormat
        let completed: Completed
    }

    let store: any ImageStore
    let signer: URLSigner
    private let publicURL: @Sendable () -> String
    private let lifetimeMilliseconds: Int64
    private let now: @Sendable () -> Timestamp
    private let unstored = Mutex(Unstored())
    private let works: AsyncStream<Work>
    private let enqueue: AsyncStream<Work>.Continuation

    /// Pictures that were told of and are not in the store, at most so many of those that never will be.
    private struct Unstored {
        static let maximumFailed = 1024
        var ids: Set<ImageID> = []
        var failed = CircularBuffer<ImageID>()
    }

    /// - Parameters:
    ///   - publicURL: absolute base of image URLs, without trailing slash.
    ///   - lifetimeMilliseconds: how long a URL stays valid.
    init(
        store: any ImageStore, signer: URLSigner, publicURL: @escaping @Sendable () -> String,
        lifetimeMilliseconds: Int64, now: @escaping @Sendable () -> Timestamp
    ) {
        self.store = store
        self.signer = signer
        self.publicURL = publicURL
        self.lifetimeMilliseconds = lifetimeMilliseconds
        self.now = now
        (self.works, self.enqueue) = AsyncStream.makeStream()
    }

    /// A picture will be given to ``keep(_:id:format:completed:)``; until it is stored nobody looks for it there.
    func expect(_ id: ImageID) { self.unstored.withLock { _ = $0.ids.insert(id) } }

    /// Whether a picture that this process told of is in the store.
    func has(_ id: ImageID) -> Bool { self.unstored.withLock { !$0.ids.contains(id) } }

    private func note(_ id: ImageID, isStored: Bool) {
        self.unstored.withLock { unstored in
            if isStored {
                unstored.ids.remove(id)
            } else if unstored.ids.contains(id) {
                unstored.failed.append(id)
                if unstored.failed.count > Unstored.maximumFailed, let oldest = unstored.failed.popFirst() {
                    unstored.ids.remove(oldest)
                }
            }
        }
    }

    /// Stores the picture; `completed` is called once, from any thread.
    func keep(_ payload: ImagePayload, id: ImageID, format: ImageFormat, completed: @escaping Completed) {
        let result = self.enqueue.yield(Work(payload: payload, id: id, format: format, completed: completed))
        if case .terminated = result {
            self.note(id, isStored: false)
            completed(.failure(GatewayError(.draining, "The gateway is shutting down.", billed: .yes)))
        }
    }

    func run() async {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                for await work in self.works {
                    group.addTask { work.completed(await self.perform(work)) }
                }
            }
        } onGracefulShutdown: {
            self.enqueue.finish()
        }
    }

    private func perform(_ work: Work) async -> Result<SignedURL?, GatewayError> {
        do {
            _ = try await self.store.store(work.payload, id: work.id, format: work.format)
            self.note(work.id, isStored: true)
            return .success(self.url(of: work.id))
        } catch let error as GatewayError {
            self.note(work.id, isStored: false)
            return .failure(error)
        } catch {
            self.note(work.id, isStored: false)
            return .failure(
                GatewayError(
                    .storageUnavailable, "The image store cannot be written.", billed: .yes, cause: "\(error)"))
        }
    }

    /// A fresh URL of a picture, also of one that an earlier run stored.
    func url(of id: ImageID) -> SignedURL {
        let expires = self.now().advanced(byMilliseconds: self.lifetimeMilliseconds)
        let target = self.signer.target(for: id, expiresAt: expires)
        return SignedURL(text: self.publicURL() + target, expiresAt: expires)
    }
}
