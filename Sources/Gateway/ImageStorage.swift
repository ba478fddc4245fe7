import ImageGeneration
import Logging
import NIOPosix
import Storage

/// The image store as `storage.images` configures it, and what goes with it.
struct ImageStorage: Sendable {
    let store: DiskImageStore
    let keeper: ImageKeeper
    let endpoint: ImageEndpoint

    /// Nil where no images are kept.
    /// - Throws: what an operator must mend, each with a text of one line.
    init?(_ options: GatewayServer.Options, tables: TableHolder, logger: Logger) throws {
        guard let images = options.table.storage.images else { return nil }
        let folder = images.prefix.isEmpty ? images.disk : "\(images.disk)/\(images.prefix)"
        let problem = { (message: String) in UpstreamProblem(upstream: "storage.images", message: message) }
        do {
            self.store = try DiskImageStore(folder: folder, threads: NIOThreadPool.singleton, now: options.now)
        } catch {
            throw problem(error.cause ?? error.message)
        }
        guard let signer = URLSigner(secrets: try images.secret.read(logger)) else {
            throw problem("a signing secret needs at least 16 bytes")
        }
        self.keeper = ImageKeeper(
            store: self.store, signer: signer, publicURL: { tables.current.publicURL },
            lifetimeMilliseconds: images.urlLifetime.milliseconds, now: options.now)
        self.endpoint = ImageEndpoint(
            store: self.store, signer: signer,
            owners: options.jobStore.map { StoredImageOwners(store: $0.store) } ?? NoImageOwners(),
            now: options.now)
    }

    func monitor(clock: any Clock<Duration>, logger: Logger) -> ImageStoreMonitor {
        ImageStoreMonitor(store: self.store, clock: clock) { notice in
            switch notice {
            case .counted(let gauge, let unfinished):
                logger.info(
                    "images counted",
                    metadata: ["files": "\(gauge.files)", "bytes": "\(gauge.bytes)", "unfinished": "\(unfinished)"])
            case .refusesWrites: logger.error("image store takes no pictures")
            case .takesWritesAgain: logger.notice("image store takes pictures again")
            }
        }
    }
}
