import Gateway
import Glibc
import Logging
import NIOPosix
import SQLiteStorage
import Storage

/// The job store that `storage.jobs` asks for.
enum OpenedJobStore {
    /// Nil where the configuration asks for none.
    /// - Throws: `SQLiteStoreError` for a database that cannot be used; it is left as it is. `StartCounterError` for a counter of earlier
    ///   starts that cannot be read: without it event ids might come a second time.
    static func open(_ table: RouteTable, stateFolder: String, logger: Logger) throws -> JobStorage? {
        guard let jobs = table.storage.jobs else { return nil }
        var configuration = SQLiteJobStore.Configuration(path: jobs.database)
        configuration.keepsPrompts = jobs.keepsPrompts
        configuration.olderEpoch = try StartCounter.current(at: "\(stateFolder)/epoch")
        let folder = jobs.database.lastIndex(of: "/").map { String(jobs.database[..<$0]) } ?? "."
        let store = try SQLiteJobStore.open(
            configuration, uploads: UploadFolder(folder: "\(folder)/uploads", threads: .singleton),
            hooks: StoreHooks(
                onFatal: { reason in
                    // What was answered is on the disk; nothing after this could be.
                    Terminal.complain("safelight: \(reason)\n")
                    _exit(1)
                },
                onHealth: { health in
                    switch health {
                    case .writing: logger.notice("job store takes jobs again")
                    case .full, .unanswered, .failed:
                        logger.error("job store takes no jobs", metadata: ["reason": "\(health)"])
                    }
                }))
        return JobStorage(
            store: store, outbox: store, tokens: store, service: store, isWritable: { store.health == .writing })
    }
}
