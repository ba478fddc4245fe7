import ImageGeneration
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
    private let works: AsyncStream<Work>
    private let enqueue: AsyncStream<Work>.Continuation

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

    /// Stores the picture; `completed` is called once, from any thread.
    func keep(_ payload: ImagePayload, id: ImageID, format: ImageFormat, completed: @escaping Completed) {
        let result = self.enqueue.yield(Work(payload: payload, id: id, format: format, completed: completed))
        if case .terminated = result {
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
            return .success(self.url(of: work.id))
        } catch let error as GatewayError {
            return .failure(error)
        } catch {
            return .failure(
                GatewayError(
                    .storageUnavailable, "The image store cannot be written.", billed: .yes, cause: "\(error)"))
        }
    }

    /// A URL of a picture that is kept, valid from now on.
    func url(of id: ImageID) -> SignedURL {
        let expires = self.now().advanced(byMilliseconds: self.lifetimeMilliseconds)
        let query = self.signer.query(for: id, expiresAt: expires)
        return SignedURL(text: "\(self.publicURL())/v1/images/\(id.text)?\(query)", expiresAt: expires)
    }
}
