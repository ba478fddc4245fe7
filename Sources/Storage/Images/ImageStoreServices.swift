package import ImageGeneration
import ServiceLifecycle

/// Counts an image store's pictures at start, and tries its disk once a second while it takes none.
package struct ImageStoreMonitor: Service {
    /// What an operator should hear of.
    package enum Notice: Sendable, Equatable {
        /// Unfinished files of earlier runs are removed, the gauge is complete.
        case counted(ImageStoreGauge, unfinished: Int)
        case refusesWrites
        case takesWritesAgain
    }

    private let store: DiskImageStore
    private let clock: any Clock<Duration>
    private let notify: @Sendable (Notice) -> Void

    /// From free space to readiness it takes no longer than this, and one probe.
    package static let interval = Duration.seconds(1)

    package init(
        store: DiskImageStore, clock: any Clock<Duration>, notify: @escaping @Sendable (Notice) -> Void = { _ in }
    ) {
        self.store = store
        self.clock = clock
        self.notify = notify
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            if let unfinished = try? await self.store.count() {
                self.notify(.counted(self.store.gauge, unfinished: unfinished))
            }
            var wasWritable = true
            while (try? await self.clock.sleep(for: Self.interval)) != nil {
                wasWritable = await self.look(wasWritable)
            }
        }
    }

    private func look(_ wasWritable: Bool) async -> Bool {
        guard !self.store.gauge.isWritable else {
            if !wasWritable { self.notify(.takesWritesAgain) }
            return true
        }
        if wasWritable { self.notify(.refusesWrites) }
        let isWritable = await self.store.probe()
        if isWritable { self.notify(.takesWritesAgain) }
        return isWritable
    }
}

/// Removes pictures once they are older than their retention, whether or not anybody remembers their jobs.
package struct ImageSweeper: Service {
    private let store: DiskImageStore
    private let retention: @Sendable () -> Duration
    private let now: @Sendable () -> Timestamp
    private let clock: any Clock<Duration>
    private let notify: @Sendable (_ removed: Int) -> Void

    package static let interval = Duration.seconds(600)

    /// - Parameters:
    ///   - retention: asked before each sweep, so that a reload reaches it.
    ///   - notify: told of every sweep that removed something.
    package init(
        store: DiskImageStore, retention: @escaping @Sendable () -> Duration,
        now: @escaping @Sendable () -> Timestamp, clock: any Clock<Duration>,
        notify: @escaping @Sendable (_ removed: Int) -> Void = { _ in }
    ) {
        self.store = store
        self.retention = retention
        self.now = now
        self.clock = clock
        self.notify = notify
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await self.clock.sleep(for: Self.interval)) != nil {
                let retention = self.retention().components
                let milliseconds = retention.seconds * 1000 + retention.attoseconds / 1_000_000_000_000_000
                // What could not be removed is tried again at the next sweep.
                let removed = try? await self.store.sweep(
                    olderThan: self.now().advanced(byMilliseconds: -milliseconds))
                if let removed, removed > 0 { self.notify(removed) }
            }
        }
    }
}
