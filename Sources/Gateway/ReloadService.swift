import Glibc
import Logging
import ServiceLifecycle
import UnixSignals

/// Reads `routes.json` again on `SIGHUP` and when it has changed on disk. A file that cannot be used leaves the table in force.
struct ReloadService: Service {
    private let path: String
    private let running: RouteTable
    private let tables: TableHolder
    private let options: GatewayServer.Options
    private let ledger: ConnectionLedger
    private let logger: Logger

    private static let interval = Duration.seconds(1)

    init(
        path: String, running: RouteTable, tables: TableHolder, options: GatewayServer.Options,
        ledger: ConnectionLedger, logger: Logger
    ) {
        self.path = path
        self.running = running
        self.tables = tables
        self.options = options
        self.ledger = ledger
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.watchSignal() }
                group.addTask { await self.watchFile() }
            }
        }
    }

    private func watchSignal() async {
        for await _ in await UnixSignalsSequence(trapping: .sighup) {
            self.logger.info("reload asked by SIGHUP")
            self.reload()
        }
    }

    private func watchFile() async {
        var seen = self.stamps
        while !Task.isCancelled {
            guard (try? await self.options.clock.sleep(for: Self.interval)) != nil else { return }
            let stamps = self.stamps
            guard stamps != seen else { continue }
            self.reload()
            let now = self.stamps
            // The new table may name other certificates; else what changes from here on is seen next time.
            seen = now.keys == stamps.keys ? stamps : now
        }
    }

    /// Of the file itself and of the certificates it names.
    private var stamps: [String: FileStamp] {
        let files = [self.path] + (self.tables.current.table.server.tls?.files ?? [])
        return Dictionary(uniqueKeysWithValues: Set(files).map { ($0, FileStamp($0)) })
    }

    /// Validated whole, swapped whole.
    private func reload() {
        let loaded = RoutesFile.load(self.path)
        guard let table = loaded.table else {
            for problem in loaded.problems where problem.severity == .error {
                self.logger.error(
                    "routes.json not reloaded", metadata: ["problem": "\(problem.rendered(file: self.path))"])
            }
            return
        }
        do {
            // The holder knows the public URL.
            self.tables.replace(
                try LiveTable(
                    table, publicURL: self.tables.current.publicURL, simulator: self.options.simulator,
                    conditions: self.tables.current.conditions))
        } catch {
            self.logger.error("routes.json not reloaded", metadata: ["problem": "\(error)"])
            return
        }
        self.ledger.setLimits(
            total: table.server.maximumConnections, perAddress: table.server.maximumConnectionsPerIP)
        self.logger.notice("routes.json reloaded", metadata: ["routes": "\(table.routes.count)"])
        for change in table.restartRequiredChanges(from: self.running) {
            self.logger.warning(
                "change needs a restart",
                metadata: [
                    "key": "\(change.key)", "running": "\(change.running)", "configured": "\(change.configured)",
                ])
        }
    }
}

/// Tells one state of a file from another.
private struct FileStamp: Equatable {
    private var seconds = 0
    private var nanoseconds = 0
    private var size: Int64 = -1
    private var inode: UInt64 = 0

    init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        self.seconds = status.st_mtim.tv_sec
        self.nanoseconds = status.st_mtim.tv_nsec
        self.size = Int64(status.st_size)
        self.inode = UInt64(status.st_ino)
    }
}
