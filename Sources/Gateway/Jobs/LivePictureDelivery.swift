import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

/// One picture of a job as a response that develops: each preview a part, the finished picture the last.
struct LivePictureDelivery: Sendable {
    let imageIndex: Int
    let parts: MixedReplaceParts
    /// Silence after which a heartbeat is written.
    let heartbeat: TimeAmount
    let connection: ClientConnection
    let payloads: KeptPayloads

    private enum Wake: Sendable {
        case events
        case heartbeat
        case clientGone
    }

    func run(
        _ subscription: EventSubscription, writer: consuming ResponseWriter, head: HTTPResponse
    ) async throws {
        let (wakes, signal) = AsyncStream.makeStream(of: Wake.self, bufferingPolicy: .bufferingNewest(4))
        self.connection.onGone { signal.yield(.clientGone) }
        defer { self.connection.onGone(nil) }
        let beat = self.connection.eventLoop.scheduleRepeatedTask(initialDelay: self.heartbeat, delay: self.heartbeat) {
            _ in signal.yield(.heartbeat)
        }
        defer { beat.cancel() }
        signal.yield(.events)
        var body = try await writer.writeHead(head)
        try await body.write(self.parts.opening)
        for await wake in wakes {
            if wake == .clientGone { return }
            // A wake for events can be lost behind a client that does not read; the next heartbeat makes up for it.
            if try await self.writePictures(subscription, &body, { signal.yield(.events) }) { break }
            if wake == .heartbeat { try await body.write(MixedReplaceParts.heartbeat) }
        }
        try await body.finish(nil)
    }

    /// - Returns: whether nothing more comes.
    private func writePictures(
        _ subscription: EventSubscription, _ body: inout some ResponseBodyWriter, _ wake: @escaping @Sendable () -> Void
    ) async throws -> Bool {
        while true {
            let events = subscription.read(orWake: wake)
            if events.isEmpty { return subscription.log.standing.terminal != nil }
            for entry in events {
                guard !self.connection.isGone else { return true }
                guard let shown = ShownPicture(entry.event, imageIndex: self.imageIndex),
                    let picture = try await shown.readable(self.payloads)
                else { continue }
                try await body.write(self.parts.head(mediaType: picture.mediaType, byteCount: picture.byteCount))
                try await picture.write(to: &body)
                try await body.write(self.parts.closing(isLast: picture.isFinished))
                if picture.isFinished { return true }
            }
        }
    }
}
