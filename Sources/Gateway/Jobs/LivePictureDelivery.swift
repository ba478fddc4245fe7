import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import Storage

/// One picture of a job as a response that develops: each preview a part, the finished picture the last.
struct LivePictureDelivery: Sendable {
    let imageIndex: Int
    /// Silence after which something is written: before the first part a header field, later the same picture again.
    let heartbeat: TimeAmount
    let connection: ClientConnection
    let payloads: KeptPayloads
    /// What counts the pictures that a slow client holds.
    let budget: PayloadBudget
    private var parts = MixedReplaceParts()

    private enum Wake: Sendable {
        case events
        case heartbeat
        case clientGone
    }

    init(
        imageIndex: Int, heartbeat: TimeAmount, connection: ClientConnection, payloads: KeptPayloads,
        budget: PayloadBudget
    ) {
        self.budget = budget
        self.imageIndex = imageIndex
        self.heartbeat = heartbeat
        self.connection = connection
        self.payloads = payloads
    }

    var contentType: String { self.parts.contentType }

    mutating func run(
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
            if try await self.writeNews(subscription, &body, { signal.yield(.events) }) { break }
            if wake == .heartbeat { try await self.writeAgain(subscription.log, &body) }
        }
        try await body.finish(nil)
    }

    /// - Returns: whether nothing more comes.
    private mutating func writeNews(
        _ subscription: EventSubscription, _ body: inout some ResponseBodyWriter, _ wake: @escaping @Sendable () -> Void
    ) async throws -> Bool {
        while true {
            let events = subscription.read(orWake: wake)
            if events.isEmpty { return subscription.log.standing.terminal != nil }
            for entry in events {
                guard !self.connection.isGone else { return true }
                guard let told = ShownPicture(entry.event, imageIndex: self.imageIndex),
                    let picture = try await told.readable(self.payloads)
                else { continue }
                try await self.write(picture, &body)
                if picture.isFinished { return true }
            }
        }
    }

    private mutating func write(_ picture: ShownPicture, _ body: inout some ResponseBodyWriter) async throws {
        let type = try await picture.mediaType()
        let head = self.parts.head(mediaType: type)
        if head.readableBytes > 0 { try await body.write(head) }
        try await picture.write(to: &body, budget: self.budget, connection: self.connection)
        try await body.write(self.parts.tail(mediaType: type, isLast: picture.isFinished))
    }

    private mutating func writeAgain(_ log: EventLog, _ body: inout some ResponseBodyWriter) async throws {
        let newest = ShownPicture.newest(of: self.imageIndex, in: log.retained)
        if let picture = try await newest?.readable(self.payloads) {
            try await self.write(picture, &body)
        } else {
            try await body.write(MixedReplaceParts.heartbeat)
        }
    }
}
