import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One streamed response. A background response that loses its stream is taken up where it stood, by a stream from there or,
/// where the service has none, by asking how it stands.
///
/// Without background the stream is all there is: its end without a terminal event is a failure, unless every picture came.
struct OpenAIResponsesExchange: ProviderExchange {
    static let timer = 0
    /// How long an upstream may leave its stream open behind the terminal event.
    static let lingerMilliseconds = 2000
    /// Streams that may break in a row without a new event before the response is polled.
    static let maximumStreams = 3
    /// Status calls that may fail in a row.
    static let maximumFailures = 6
    /// First and longest pace of polling, in milliseconds.
    static let interval = 2000...8000

    let configuration: ProviderConfiguration
    let isBackground: Bool
    private let body: [ByteBuffer]
    private let parameters: [String: String]
    private var jitter: SplitMix

    var tally: OpenAIResponsesTally
    var live: UpstreamAnswer?
    var purpose = Purpose.submit
    private var calls = 0
    private var next: Step?
    var handle: OpenAIResponsesHandle?
    /// Of the last event seen.
    var lastSequence = -1
    private var shown: Stage?
    /// The terminal event has come; the stream's own end is waited for.
    var ending: OpenAIResponsesTally.End?
    private(set) var isCancelling = false
    private(set) var isFinished = false
    private var brokenStreams = 0
    private var failures = 0
    private var pace = Self.interval.lowerBound

    enum Purpose { case submit, events, status, cancel }

    /// What the timer is for.
    private enum Step { case linger, events, status }

    init(job: ExchangeJob, configuration: ProviderConfiguration) {
        let writer = OpenAIResponsesRequestBody(request: job.request, configuration: configuration)
        self.init(
            job: job, configuration: configuration, body: writer.pieces(), isBackground: configuration.background)
    }

    /// Goes on with a background response that an earlier exchange began.
    init(resuming handle: OpenAIResponsesHandle, job: ExchangeJob, configuration: ProviderConfiguration) {
        self.init(job: job, configuration: configuration, body: [], isBackground: true)
        self.handle = handle
        self.tally.billed = .maybe
    }

    private init(job: ExchangeJob, configuration: ProviderConfiguration, body: [ByteBuffer], isBackground: Bool) {
        self.configuration = configuration
        self.isBackground = isBackground
        self.body = body
        self.jitter = SplitMix(state: job.entropy)
        self.tally = OpenAIResponsesTally(request: job.request, secret: configuration.apiKey)
        self.parameters = Self.parameters(job.request)
    }

    private static func parameters(_ request: ImageRequest) -> [String: String] {
        var names = ["input": "prompt", "input_image_mask": "mask", "metadata": "metadata"]
        for name in request.setParameters where name != "images" && name != "mask" { names[name] = name }
        return names
    }

    mutating func start(into actions: inout ExchangeActions) {
        if self.handle == nil {
            var call = self.configuration.call(.post, "/responses", .submit, key: self.key)
            call.headers[.accept] = "text/event-stream, application/json"
            call.headers[.contentType] = "application/json"
            call.body = self.body
            self.open(call, .submit, [.events, .json], into: &actions)
        } else {
            actions.append(.emit(.accepted))
            self.follow(into: &actions)
        }
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        self.react(into: &actions) { exchange, actions throws(GatewayError) in
            try exchange.live?.take(head)
            switch (exchange.purpose, exchange.live?.form) {
            case (.events, .error): exchange.pollInstead(into: &actions)
            case (.submit, .error): break
            case (.submit, _):
                exchange.tally.billed = .maybe
                actions.append(.emit(.accepted))
                if !exchange.isBackground { exchange.show(.processing, into: &actions) }
            default: break
            }
        }
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        self.react(into: &actions) { exchange, actions throws(GatewayError) in
            guard try exchange.live?.append(bytes) == true else {
                return exchange.callRefused(abandoning: true, into: &actions)
            }
            var rest = bytes
            while exchange.isLive(call), let (frame, fields) = try exchange.live?.nextEvent(&rest) {
                guard frame.data.readableBytes > 0, !OpenAIImagesEvent.isEndMark(frame) else { continue }
                guard fields.error == nil else {
                    throw GatewayError(.upstreamProtocol, "The upstream sent an event that is not valid JSON.")
                }
                try exchange.take(OpenAIResponsesReply(event: fields, frame.data), frame, into: &actions)
            }
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        self.react(abandoning: false, into: &actions) { exchange, actions throws(GatewayError) in
            guard var live = exchange.live else { return }
            exchange.live = nil
            switch (exchange.purpose, live.form) {
            case (.cancel, _): exchange.finishCancelled(into: &actions)
            case (_, .error):
                exchange.live = live
                exchange.callRefused(abandoning: false, into: &actions)
            case (_, .json):
                let (document, fields) = try live.document()
                try exchange.take(whole: OpenAIResponsesReply(document: document, fields), into: &actions)
            default:
                exchange.streamLost(
                    GatewayError(
                        .upstreamTruncated, "The upstream's stream ended before the picture was complete.",
                        billed: exchange.tally.billed), into: &actions)
            }
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        // That it was refused, and how, was in the head already.
        if self.live?.form == .error { return self.callRefused(abandoning: false, into: &actions) }
        self.callFailed(error, abandoning: false, into: &actions)
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.isCancelling, let step = self.next.take() else { return }
        switch step {
        case .linger: self.finishAsEnded(into: &actions)
        case .events: self.follow(into: &actions)
        case .status: self.poll(into: &actions)
        }
    }

    mutating func cancel(into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.isCancelling else { return }
        self.isCancelling = true
        self.next = nil
        // Without an id there is nothing to name to the upstream: the first event is waited for.
        if self.isBackground, self.handle == nil, self.live != nil, self.ending == nil { return }
        self.sendCancel(into: &actions)
    }
}

// MARK: Calls

extension OpenAIResponsesExchange {
    private var key: KeyHeader { self.configuration.preset == "azure" ? .apiKey : .bearer }

    func isLive(_ call: Int) -> Bool { !self.isFinished && self.live?.call == call }

    /// Runs one reaction; what it throws has made the live call useless.
    private mutating func react(
        abandoning: Bool = true, into actions: inout ExchangeActions,
        _ reaction: (inout OpenAIResponsesExchange, inout ExchangeActions) throws(GatewayError) -> Void
    ) {
        do throws(GatewayError) {
            try reaction(&self, &actions)
        } catch {
            guard !self.isFinished else { return }
            self.callFailed(error, abandoning: abandoning, into: &actions)
        }
    }

    private mutating func open(
        _ call: ExchangeCall, _ purpose: Purpose, _ forms: UpstreamAnswer.Forms, into actions: inout ExchangeActions
    ) {
        self.abandonLive(into: &actions)
        self.purpose = purpose
        self.live = UpstreamAnswer(
            call: self.calls, accepting: forms, events: OpenAIResponsesReply.eventPaths,
            documents: OpenAIResponsesReply.documentPaths, maximumBytes: self.configuration.maximumEventBytes)
        actions.append(.send(call, call: self.calls))
        self.calls += 1
    }

    private mutating func abandonLive(into actions: inout ExchangeActions) {
        if let live = self.live.take() { actions.append(.abandon(call: live.call)) }
    }

    /// The stream of a background response, from behind the last event seen.
    private mutating func follow(into actions: inout ExchangeActions) {
        guard let handle = self.handle, handle.streams else { return self.poll(into: &actions) }
        var query = [(name: "stream", value: "true")]
        if self.lastSequence >= 0 { query.append((name: "starting_after", value: String(self.lastSequence))) }
        var call = self.configuration.call(.get, handle.path, .events, key: self.key, query: query)
        call.headers[.accept] = "text/event-stream"
        self.open(call, .events, .events, into: &actions)
    }

    private mutating func poll(into actions: inout ExchangeActions) {
        guard let handle = self.handle else { return }
        var call = self.configuration.call(.get, handle.path, .status, key: self.key)
        call.headers[.accept] = "application/json"
        call.maximumResponseBytes = self.configuration.maximumEventBytes
        self.open(call, .status, .json, into: &actions)
    }

    private mutating func sendCancel(into actions: inout ExchangeActions) {
        self.abandonLive(into: &actions)
        guard self.isBackground, let handle = self.handle, self.ending == nil else {
            return self.finishCancelled(into: &actions)
        }
        self.open(
            self.configuration.call(.post, handle.path + "/cancel", .cancel, key: self.key), .cancel, [],
            into: &actions)
    }

    private mutating func finishCancelled(into actions: inout ExchangeActions) {
        self.finish(GatewayError(.cancelled, "The job was cancelled.", billed: self.tally.billed), into: &actions)
    }

    private mutating func wait(_ milliseconds: Int, then step: Step, into actions: inout ExchangeActions) {
        guard !self.isCancelling else { return }
        self.next = step
        // A little longer by chance, so that many jobs do not ask in step.
        let extra = step == .linger ? 0 : Int(self.jitter.next() % UInt64(max(1, milliseconds / 10)))
        actions.append(.wait(milliseconds: milliseconds + extra, timer: Self.timer))
    }

    mutating func finish(_ error: GatewayError?, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.isFinished = true
        self.abandonLive(into: &actions)
        actions.append(.finish(error))
    }

    private mutating func finishAsEnded(into actions: inout ExchangeActions) {
        switch self.ending {
        case .failure(let error): self.finish(error, into: &actions)
        case .success, nil: self.finish(nil, into: &actions)
        }
    }
}

// MARK: Failures

extension OpenAIResponsesExchange {
    private mutating func callRefused(abandoning: Bool, into actions: inout ExchangeActions) {
        guard let live = self.live else { return }
        let error = live.refusal(parameters: self.parameters, hiding: self.configuration.apiKey, readsWords: true)
        self.callFailed(error, abandoning: abandoning, into: &actions)
    }

    private mutating func callFailed(_ error: GatewayError, abandoning: Bool, into actions: inout ExchangeActions) {
        if !abandoning { self.live = nil }
        if self.isCancelling { return self.finishCancelled(into: &actions) }
        if self.ending != nil { return self.finishAsEnded(into: &actions) }
        switch self.purpose {
        case .cancel: self.finishCancelled(into: &actions)
        case .submit, .events: self.streamLost(error, into: &actions)
        case .status: self.statusFailed(error, into: &actions)
        }
    }

    /// The stream is of no more use: a background response is looked for again, any other is over.
    private mutating func streamLost(_ error: GatewayError, into actions: inout ExchangeActions) {
        self.abandonLive(into: &actions)
        if self.isCancelling { return self.finishCancelled(into: &actions) }
        if self.ending != nil { return self.finishAsEnded(into: &actions) }
        guard self.isBackground, self.handle != nil else {
            self.ending = self.tally.end(by: error.billed(atLeast: self.tally.billed), into: &actions)
            return self.finishAsEnded(into: &actions)
        }
        self.brokenStreams += 1
        let step = self.brokenStreams < Self.maximumStreams ? Step.events : .status
        self.wait(500 * self.brokenStreams, then: step, into: &actions)
    }

    private mutating func pollInstead(into actions: inout ExchangeActions) {
        self.abandonLive(into: &actions)
        self.wait(500, then: .status, into: &actions)
    }

    private mutating func statusFailed(_ error: GatewayError, into actions: inout ExchangeActions) {
        self.abandonLive(into: &actions)
        self.failures += 1
        let isGone = error.upstreamStatus == 404
        guard self.failures < Self.maximumFailures, error.code != .providerAuth, !isGone || self.failures < 3 else {
            let shown =
                isGone
                ? GatewayError(.upstreamError, "The upstream no longer knows the job.", upstreamStatus: 404) : error
            self.ending = self.tally.end(by: shown.billed(atLeast: .maybe), into: &actions)
            return self.finishAsEnded(into: &actions)
        }
        self.wait(max(self.pace, min(error.retryAfterMilliseconds ?? 0, 60_000)), then: .status, into: &actions)
    }
}

// MARK: What the upstream says

extension OpenAIResponsesExchange {
    mutating func show(_ stage: Stage, into actions: inout ExchangeActions) {
        guard self.shown.map({ $0 < stage }) ?? true else { return }
        self.shown = stage
        actions.append(.emit(.status(UpstreamStatus(stage: stage))))
    }

    /// A whole response object, from a status call or in place of a stream.
    private mutating func take(
        whole reply: OpenAIResponsesReply, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        self.learn(reply, into: &actions)
        if self.isCancelling { return self.sendCancel(into: &actions) }
        self.failures = 0
        if let end = try self.tally.take(object: reply, into: &actions) {
            self.ending = end
            return self.finishAsEnded(into: &actions)
        }
        guard self.isBackground, self.handle != nil else {
            throw GatewayError(
                .upstreamProtocol, "The upstream answered before it was done.", billed: self.tally.billed)
        }
        self.show(reply.text(reply.field(.status)) == "queued" ? .queued : .processing, into: &actions)
        self.wait(self.pace, then: .status, into: &actions)
        self.pace = min(self.pace + self.pace / 2, Self.interval.upperBound)
    }

    /// The response's id, by which a background response is found again.
    mutating func learn(_ reply: OpenAIResponsesReply, into actions: inout ExchangeActions) {
        guard self.isBackground, self.handle == nil, let id = reply.text(reply.field(.id)),
            let handle = OpenAIResponsesHandle(id: id, streams: self.live != nil)
        else { return }
        self.handle = handle
        actions.append(.emit(.handle(handle.text)))
        if self.isCancelling { self.sendCancel(into: &actions) }
    }

    /// Whether the event was not told before, by the stream that broke.
    mutating func isNews(_ reply: OpenAIResponsesReply) -> Bool {
        guard let number = reply.integer(reply.field(.sequenceNumber)), number >= 0 else { return true }
        guard number > self.lastSequence else { return false }
        self.lastSequence = number
        self.brokenStreams = 0
        return true
    }

    /// The terminal event: the stream's end is waited for briefly, so that the connection can be kept.
    mutating func end(_ end: OpenAIResponsesTally.End, into actions: inout ExchangeActions) {
        guard self.ending == nil else { return }
        self.ending = end
        self.wait(Self.lingerMilliseconds, then: .linger, into: &actions)
    }
}
