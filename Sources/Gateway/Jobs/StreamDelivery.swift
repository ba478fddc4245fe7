import Dialects
import HTTPTypes
import ImageGeneration
import NIOCore
import Storage

/// One client tailing one job: the response of a stream, from its head to its end.
final class StreamDelivery: Sendable {
    struct Terms: Sendable {
        var traits: DialectTraits
        /// Silence after which a heartbeat is written.
        var heartbeat: TimeAmount
        /// The route's; nil: the dialect's own.
        var heartbeatStyle: HeartbeatStyle?
        /// See ``DerivedProgress``; milliseconds.
        var median: Int
        var now: @Sendable () -> Timestamp
        var createdAt: Timestamp
        /// Name of the upstream that works for the job.
        var upstream: String
        /// What counts the payloads that a slow client holds; nil: nothing does.
        var budget: PayloadBudget?
    }

    /// Where a stream begins that does not begin at the job's first event.
    struct Resumption: Sendable {
        /// Where the client stands: progress goes on from there.
        var stage: Stage
        var progress: Int
        /// Told first, where the history in between is gone.
        var gap: LogGap?
    }

    enum End: Sendable {
        /// The terminal event is written.
        case finished
        case clientGone
        /// The gateway ended the stream before the job's end.
        case interrupted
    }

    private let eventLoop: any EventLoop
    private let writer: NIOLoopBoundBox<StreamWriter?>
    private let ended: EventLoopPromise<End>

    /// Must be made on the channel's event loop.
    init(
        subscription: EventSubscription, encoder: any DialectEncoder, channel: any Channel, terms: Terms,
        connection: ClientConnection, resumption: Resumption? = nil
    ) {
        self.eventLoop = channel.eventLoop
        self.writer = .makeEmptyBox(valueType: StreamWriter.self, eventLoop: channel.eventLoop)
        self.ended = channel.eventLoop.makePromise(of: End.self)
        self.writer.value = StreamWriter(
            subscription: subscription, encoder: encoder, channel: channel, terms: terms, connection: connection,
            ended: self.ended
        ) { [self] in
            self.onEventLoop { $0.pump() }
        }
        if let resumption { self.writer.value?.resume(resumption) }
    }

    /// Begins the response: its head, then events until the job, the client or the gateway ends the stream, its end. Head and first
    /// event leave in one write, and so do the last event and the end. Called on the event loop, once; ``end(_:)`` follows.
    func begin(_ head: HTTPResponse, _ connection: ClientConnection) {
        connection.onGone { [self] in
            self.onEventLoop { $0.finish(.clientGone) }
        }
        self.writer.value?.begin(head)
    }

    /// Waits for the end of what has begun. Called on the event loop; what is made must come to this.
    @discardableResult
    func end(_ connection: ClientConnection) async -> End {
        let end = (try? await self.ended.futureResult.get()) ?? .clientGone
        connection.onGone(nil)
        // The writer knows how it is woken, and so this delivery: here the two part.
        self.writer.value = nil
        return end
    }

    /// Ends the stream before the job's end, from any thread.
    func interrupt(_ error: GatewayError) {
        self.onEventLoop { $0.interrupt(error) }
    }

    private func onEventLoop(_ action: @escaping @Sendable (StreamWriter) -> Void) {
        self.eventLoop.execute { if let writer = self.writer.value { action(writer) } }
    }
}
