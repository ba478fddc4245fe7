import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One call, answered by a stream of parts or by one document. The stream has no end mark but the reason for which its last chunk
/// says the work ended.
struct GeminiExchange: ProviderExchange {
    private static let callNumber = 0
    private static let lingerTimer = 0
    /// How long an upstream may leave its stream open behind the last chunk.
    private static let lingerMilliseconds = 2000

    private let call: ExchangeCall
    private let secret: String?
    private let maximumEventBytes: Int
    private var tally: GeminiTally
    private var answer: UpstreamAnswer
    /// An error that stands in the stream as bare JSON, outside of any event.
    private var bareError: ErrorBody?
    private var isAtFrameStart = true
    private var isFinished = false
    private var isLingering = false

    init(call: ExchangeCall, job: ExchangeJob, configuration: ProviderConfiguration) {
        self.call = call
        self.secret = configuration.apiKey
        self.maximumEventBytes = configuration.maximumEventBytes
        self.tally = GeminiTally(request: job.request, secret: configuration.apiKey)
        self.answer = UpstreamAnswer(
            call: Self.callNumber, accepting: [.events, .json], events: GeminiField.paths, documents: GeminiField.paths,
            maximumBytes: configuration.maximumEventBytes)
    }

    mutating func start(into actions: inout ExchangeActions) {
        actions.append(.send(self.call, call: Self.callNumber))
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        self.react(into: &actions) { exchange, actions throws(GatewayError) in
            try exchange.answer.take(head)
            guard exchange.answer.form != .error else { return }
            exchange.tally.billed = .maybe
            actions.append(.emit(.accepted))
            actions.append(.emit(.status(UpstreamStatus(stage: .processing))))
        }
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.react(into: &actions) { exchange, actions throws(GatewayError) in
            guard try exchange.answer.append(bytes) else { return exchange.finishRefused(into: &actions) }
            if exchange.answer.form == .events { try exchange.decode(bytes, into: &actions) }
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.react(abandoning: false, into: &actions) { exchange, actions throws(GatewayError) in
            switch exchange.answer.form {
            case .error: exchange.finishRefused(abandoning: false, into: &actions)
            case .json:
                let (document, fields) = try exchange.answer.document()
                try exchange.take(GeminiReply(fields: fields, document: document), into: &actions)
                if !exchange.isFinished { exchange.conclude(abandoning: false, into: &actions) }
            default: exchange.conclude(abandoning: false, into: &actions)
            }
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        if self.answer.form == .error {
            self.finishRefused(abandoning: false, into: &actions)
        } else if self.tally.isComplete || self.tally.sawEnd || self.bareError != nil {
            self.conclude(abandoning: false, into: &actions)
        } else {
            self.finish(error.billed(atLeast: self.tally.billed), abandoning: false, into: &actions)
        }
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished, timer == Self.lingerTimer else { return }
        self.conclude(abandoning: true, into: &actions)
    }

    /// The service has no call to cancel by: closing the connection is all there is.
    mutating func cancel(into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.finish(
            GatewayError(.cancelled, "The job was cancelled.", billed: self.tally.billed), abandoning: true,
            into: &actions)
    }
}

extension GeminiExchange {
    private mutating func react(
        abandoning: Bool = true, into actions: inout ExchangeActions,
        _ reaction: (inout GeminiExchange, inout ExchangeActions) throws(GatewayError) -> Void
    ) {
        do throws(GatewayError) {
            try reaction(&self, &actions)
        } catch {
            self.finish(error.billed(atLeast: self.tally.billed), abandoning: abandoning, into: &actions)
        }
    }

    private mutating func decode(
        _ bytes: UnsafeRawBufferPointer, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        var rest = bytes
        while !self.isFinished {
            if self.isBareJSON(&rest) {
                if self.bareError?.append(rest) == false { self.conclude(abandoning: true, into: &actions) }
                return
            }
            guard let (frame, fields) = try self.answer.nextEvent(&rest) else { return }
            self.isAtFrameStart = true
            guard frame.data.readableBytes > 0, !OpenAIImagesEvent.isEndMark(frame) else { continue }
            guard fields.error == nil else {
                throw GatewayError(.upstreamProtocol, "The upstream sent an event that is not valid JSON.")
            }
            try self.take(GeminiReply(fields: fields, document: frame.data), into: &actions)
            self.lingerIfOver(into: &actions)
        }
    }

    /// The service ends a stream it cannot go on with by an error as bare JSON where the next event would begin: no line of an
    /// event begins with a brace. Everything from there on is the error.
    private mutating func isBareJSON(_ rest: inout UnsafeRawBufferPointer) -> Bool {
        if self.bareError != nil { return true }
        guard self.isAtFrameStart else { return false }
        guard let first = rest.first(where: { $0 != 0x0A && $0 != 0x0D }) else { return false }
        self.isAtFrameStart = false
        guard first == UInt8(ascii: "{") || first == UInt8(ascii: "["), let head = self.answer.head else {
            return false
        }
        self.bareError = ErrorBody(head)
        return true
    }

    private mutating func take(
        _ reply: GeminiReply, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        guard !reply.hasError else {
            let report = UpstreamErrorReport(body: reply.document, status: nil)
            return self.finishFailed(report, abandoning: true, into: &actions)
        }
        try self.tally.take(reply, into: &actions)
    }

    private mutating func lingerIfOver(into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.isLingering, self.tally.sawEnd else { return }
        self.isLingering = true
        actions.append(.wait(milliseconds: Self.lingerMilliseconds, timer: Self.lingerTimer))
    }

    private mutating func conclude(abandoning: Bool, into actions: inout ExchangeActions) {
        if let body = self.bareError, !self.tally.isComplete {
            var report = body.report
            // The head's status was a success.
            if let status = report.status, (200..<300).contains(status) { report.status = nil }
            return self.finishFailed(report, abandoning: abandoning, into: &actions)
        }
        let error = self.tally.conclude(into: &actions)
        self.finish(error, abandoning: abandoning, into: &actions)
    }

    private mutating func finishFailed(
        _ report: UpstreamErrorReport, abandoning: Bool, into actions: inout ExchangeActions
    ) {
        let error = report.gatewayError(
            billed: self.tally.billed, parameters: GeminiRequestBody.parameters, hiding: self.secret, readsWords: true)
        let isComplete = self.tally.isComplete
        self.finish(isComplete ? nil : error, abandoning: abandoning, into: &actions)
    }

    private mutating func finishRefused(abandoning: Bool = true, into actions: inout ExchangeActions) {
        let error = self.answer.refusal(
            parameters: GeminiRequestBody.parameters, hiding: self.secret, readsWords: true)
        self.finish(error, abandoning: abandoning, into: &actions)
    }

    private mutating func finish(_ error: GatewayError?, abandoning: Bool, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.isFinished = true
        if abandoning { actions.append(.abandon(call: Self.callNumber)) }
        actions.append(.finish(error))
    }
}
