import Logging
import Synchronization

/// Hands every log message to a test that waits for one.
struct RecordingLog: Sendable {
    private let messages: AsyncStream<String>
    private let arrived: AsyncStream<String>.Continuation

    init() { (self.messages, self.arrived) = AsyncStream.makeStream() }

    var logger: Logger {
        Logger(label: "recording") { _ in Handler(arrived: self.arrived) }
    }

    /// Returns once the message was logged after what was waited for before.
    func wait(for message: String) async {
        for await next in self.messages where next == message { return }
    }

    private struct Handler: LogHandler {
        let arrived: AsyncStream<String>.Continuation
        var logLevel = Logger.Level.debug
        var metadata: Logger.Metadata = [:]

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) { self.arrived.yield(event.message.description) }
    }
}

/// A clock on which time passes fifty times as fast.
struct FastClock: Clock {
    typealias Instant = ContinuousClock.Instant
    private let clock = ContinuousClock()

    var now: Instant { self.clock.now }
    var minimumResolution: Duration { self.clock.minimumResolution }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await self.clock.sleep(for: self.now.duration(to: deadline) / 50)
    }
}
