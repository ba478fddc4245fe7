import Dialects
import HTTPTypes
import HummingbirdCore
import ImageGeneration
import NIOCore
import NIOHTTPTypes
import Storage
import Synchronization

/// A client waiting for one whole JSON answer. While the job lasts, JSON white space is written at each heartbeat, so that no idle
/// timer on the path loses a paid picture; the status is settled with the first of them, or with the answer.
struct AnswerDelivery: Sendable {
    let heartbeat: TimeAmount
    let connection: ClientConnection
    /// What counts the payloads that a slow client holds.
    let budget: PayloadBudget
    /// After this the answer is given as the job then stands. Nil: at the job's end.
    var patience: TimeAmount?

    enum Outcome {
        case answered
        case clientGone
    }

    fileprivate enum Wake: Sendable {
        case events
        case heartbeat
        case patienceOver
        case clientGone
    }

    /// - Parameter fail: makes the response for a failure while the status is still open.
    func run(
        subscription: EventSubscription, encoder: consuming any DialectAnswerEncoder, writer: consuming ResponseWriter,
        headers: HTTPFields, fail: (GatewayError) -> DialectResponse
    ) async throws -> Outcome {
        var encoder = encoder
        let (wakes, signal) = AsyncStream.makeStream(of: Wake.self, bufferingPolicy: .bufferingNewest(8))
        self.connection.onGone { signal.yield(.clientGone) }
        defer { self.connection.onGone(nil) }
        let beat = self.connection.eventLoop.scheduleRepeatedTask(initialDelay: self.heartbeat, delay: self.heartbeat) {
            _ in signal.yield(.heartbeat)
        }
        defer { beat.cancel() }
        let limit = self.patience.map { patience in
            self.connection.eventLoop.scheduleTask(in: patience) { _ = signal.yield(.patienceOver) }
        }
        defer { limit?.cancel() }
        signal.yield(.events)
        var events = AnswerEvents()
        var iterator = wakes.makeAsyncIterator()
        while let wake = await iterator.next() {
            switch wake {
            case .clientGone:
                return .clientGone
            case .events:
                guard events.read(subscription, signal) else { continue }
                events.write(subscription.log, into: &encoder)
                return try await self.answer(&encoder, writer: writer, headers: headers, fail: fail)
            case .patienceOver:
                _ = events.read(subscription, signal)
                events.write(subscription.log, into: &encoder)
                return try await self.answer(&encoder, writer: writer, headers: headers, fail: fail)
            case .heartbeat:
                return try await self.continueCommitted(
                    subscription, &encoder, events, iterator, signal, writer: writer, headers: headers)
            }
        }
        return .clientGone
    }

    /// Writes the answer as the encoder has it now.
    @discardableResult
    func answer(
        _ encoder: inout any DialectAnswerEncoder, writer: consuming ResponseWriter, headers: HTTPFields,
        withoutBody: Bool = false, fail: (GatewayError) -> DialectResponse
    ) async throws -> Outcome {
        var output = FrameOutput()
        let head = encoder.finish(into: &output)
        let failure = head.error.map(fail)
        var (pieces, leases) = output.takePieces()
        if let failure { (pieces, leases) = ([.bytes(failure.body)], []) }
        var fields = failure?.headers ?? head.headers
        for field in headers { fields[field.name] = field.value }
        fields[.contentLength] = String(pieces.reduce(0) { $0 + $1.count })
        let response = HTTPResponse(status: .init(code: failure?.status ?? head.status), headerFields: fields)
        guard !withoutBody else {
            try await writer.writeResponse(response)
            return .answered
        }
        var body = try await writer.writeHead(response)
        try await self.write(pieces, leases, &body)
        try await body.finish(nil)
        return .answered
    }

    /// A client that takes nothing of a payload meanwhile may have to give way.
    private func write(
        _ pieces: [FramePiece], _ leases: [PayloadLease], _ body: inout some ResponseBodyWriter
    ) async throws {
        let connection = self.connection
        let stall = StallMark(self.budget) { [weak connection] in connection?.abort() }
        let held = leases.reduce(0) { $0 + $1.bytes }
        for piece in pieces {
            switch piece {
            case .bytes(let bytes): try await body.writeSliced(bytes, stall, holding: held)
            case .displaced(let payload):
                do {
                    try await body.writeDisplaced(payload)
                } catch {
                    connection.abort()
                    throw error
                }
            }
        }
        withExtendedLifetime(leases) {}
    }

    /// The status is settled as 200: white space until the job ends, then the answer, or the failure in the answer's place.
    private func continueCommitted(
        _ subscription: EventSubscription, _ encoder: inout any DialectAnswerEncoder, _ gathered: AnswerEvents,
        _ wakes: consuming AsyncStream<Wake>.Iterator, _ signal: AsyncStream<Wake>.Continuation,
        writer: consuming ResponseWriter, headers: HTTPFields
    ) async throws -> Outcome {
        var events = gathered
        var fields = headers
        fields[.contentType] = "application/json"
        var body = try await writer.writeHead(HTTPResponse(status: .ok, headerFields: fields))
        try await body.write(ByteBuffer(string: " "))
        while let wake = await wakes.next() {
            switch wake {
            case .clientGone:
                return .clientGone
            case .heartbeat, .events, .patienceOver:
                // A wake for events can be lost behind a client that does not read; the next heartbeat makes up for it.
                if wake == .heartbeat { try await body.write(ByteBuffer(string: " ")) }
                guard events.read(subscription, signal) || wake == .patienceOver else { continue }
                events.write(subscription.log, into: &encoder)
                var output = FrameOutput()
                _ = encoder.finish(into: &output)
                let (pieces, leases) = output.takePieces()
                try await self.write(pieces, leases, &body)
                try await body.finish(nil)
                return .answered
            }
        }
        return .clientGone
    }
}

/// What an answer is made of. Pictures are taken from the log when the answer is written: until then they may go elsewhere. All else is
/// taken as it comes, because the log forgets the beginning of a very long text.
private struct AnswerEvents {
    private var seen: [SequencedEvent] = []

    /// Beyond this the rest of a text is left out.
    private static let maximumSeen = 1 << 18

    /// Reads what there is.
    /// - Returns: whether the terminal event is there.
    mutating func read(_ subscription: EventSubscription, _ signal: AsyncStream<AnswerDelivery.Wake>.Continuation)
        -> Bool
    {
        while true {
            let events = subscription.read(orWake: { signal.yield(.events) })
            for event in events where event.event.payload == nil && self.seen.count < Self.maximumSeen {
                self.seen.append(event)
            }
            if events.last?.event.isTerminal == true { return true }
            if events.isEmpty { return false }
        }
    }

    /// All of it, in order.
    func write(_ log: EventLog, into encoder: inout any DialectAnswerEncoder) {
        let numbers = Set(self.seen.map(\.sequence))
        let rest = log.retained.filter { !numbers.contains($0.sequence) }
        for event in (self.seen + rest).sorted(by: { $0.sequence < $1.sequence }) { encoder.add(event) }
    }
}

extension ResponseBodyWriter {
    /// Writes a large buffer in pieces of 64 KiB, so that memory is freed as the client takes it.
    /// - Parameters:
    ///   - stall: set while a piece is not taken.
    ///   - bytes: what is held meanwhile.
    mutating func writeSliced(_ buffer: ByteBuffer, _ stall: StallMark? = nil, holding bytes: Int = 0) async throws {
        var rest = buffer
        while let slice = rest.readSlice(length: min(64 << 10, rest.readableBytes)), slice.readableBytes > 0 {
            if bytes > 0 { stall?.set(holding: bytes) }
            try await self.write(slice)
        }
        stall?.clear()
    }

    /// Reads the text piece by piece, each when the one before has been taken.
    mutating func writeDisplaced(_ payload: any DisplacedPayload) async throws {
        var offset = 0
        while offset < payload.base64Count {
            let end = min(offset + (64 << 10), payload.base64Count)
            try await self.write(try await payload.read(offset..<end))
            offset = end
        }
    }
}

extension ResponseWriter {
    consuming func writeWhole(_ response: DialectResponse, adding headers: HTTPFields) async throws {
        var fields = response.headers
        for field in headers { fields[field.name] = field.value }
        fields[.contentLength] = String(response.body.readableBytes)
        let head = HTTPResponse(status: .init(code: response.status), headerFields: fields)
        if response.body.readableBytes == 0 {
            try await self.writeResponse(head)
        } else {
            try await self.write(response: head, body: ResponseBody(byteBuffer: response.body))
        }
    }
}
