import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// Submit, follow, fetch: one call at a time, with timers between.
///
/// Once the job has an id nothing about following it is fatal by itself: a stream of states that is refused, breaks or ends
/// early gives way to polling, and polling rides out failures for a while. The submission is made once and never again:
/// an exchange that begins with a ``QueueHandle`` begins with following.
struct QueueExchange: ProviderExchange {
    static let timer = 0
    /// Status and result calls that may fail in a row.
    static let maximumFailures = 6
    /// Longest wait between two calls, in milliseconds, whatever `Retry-After` says.
    static let maximumWait = 60_000

    let definition: QueueDefinition
    let configuration: ProviderConfiguration
    let request: ImageRequest
    /// The upstream's name of the model.
    let model: String?
    /// Of the submission.
    let body: QueueBody
    var jitter: SplitMix

    /// The call under way, if any.
    var live: QueueResponse?
    var calls = 0
    var next: Step?
    var jobID: String?
    var links: [String: String] = [:]
    var wasAccepted = false
    var isCancelling = false
    var isFinished = false
    var billed: GatewayError.Billed = .no

    var shown = QueueStanding()
    var interval: Int
    var waitedSinceAccepted = 0
    var failures = 0
    /// Previews shown.
    var previews = 0
    var results = QueueResults()

    /// What the timer is for.
    enum Step { case poll, result, picture(Int) }

    init(
        job: ExchangeJob, definition: QueueDefinition, configuration: ProviderConfiguration
    ) throws(GatewayError) {
        let model = configuration.model ?? job.request.model
        let body = try definition.body(.init(request: job.request, model: model), entropy: job.entropy)
        self.init(job: job, model: model, body: body, definition: definition, configuration: configuration)
    }

    /// Goes on with a job that was submitted before.
    init(
        resuming handle: QueueHandle, job: ExchangeJob, definition: QueueDefinition,
        configuration: ProviderConfiguration
    ) {
        // The configuration may name another model by now than the one the job was submitted with.
        self.init(
            job: job, model: handle.model ?? configuration.model ?? job.request.model, body: QueueBody(),
            definition: definition, configuration: configuration)
        self.jobID = handle.jobID
        self.links = handle.links
    }

    private init(
        job: ExchangeJob, model: String?, body: QueueBody, definition: QueueDefinition,
        configuration: ProviderConfiguration
    ) {
        self.definition = definition
        self.configuration = configuration
        self.request = job.request
        self.model = model
        self.body = body
        self.jitter = SplitMix(state: job.entropy)
        self.interval = definition.poll.interval
    }

    mutating func start(into actions: inout ExchangeActions) {
        guard self.jobID == nil else { return self.pickUp(into: &actions) }
        let streams = self.definition.follow == .submit
        let template = streams ? self.definition.submitStream ?? self.definition.submit : self.definition.submit
        if !self.send(template, .submit, streams: streams, into: &actions) {
            let message = self.model == nil ? "The upstream needs a model." : "The model's name cannot be used."
            self.finish(GatewayError(.invalidParameter, message, parameter: "model"), into: &actions)
        }
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        self.react(into: &actions) { exchange, actions throws(GatewayError) in
            try exchange.live?.take(head)
            if exchange.live?.purpose == .submit, (200..<300).contains(head.status) { exchange.accept(into: &actions) }
            // A refused stream of states is not waited for.
            if exchange.live?.purpose == .events, exchange.live?.form == .error { exchange.pollInstead(into: &actions) }
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
                if let use = exchange.use(of: frame) {
                    exchange.take(frame.data, as: use, into: &actions)
                    continue
                }
                guard frame.data.readableBytes > 0, !OpenAIImagesEvent.isEndMark(frame) else { continue }
                guard fields.error == nil else {
                    throw GatewayError(.upstreamProtocol, "The upstream sent an event that is not valid JSON.")
                }
                try exchange.take(fields, frame.data, into: &actions)
            }
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        self.react(abandoning: false, into: &actions) { exchange, actions throws(GatewayError) in
            guard var live = exchange.live else { return }
            switch (live.purpose, live.form) {
            case (.cancel, _): exchange.finishCancelled(into: &actions)
            case (_, .error): exchange.callRefused(abandoning: false, into: &actions)
            case (.picture(let index), _):
                let payload = try live.picture()
                exchange.live = nil
                exchange.finishPicture(index, .success(payload), into: &actions)
            case (_, .bytes):
                let payload = try live.picture()
                exchange.live = nil
                exchange.takeWhole(payload, into: &actions)
            case (_, .json):
                let (document, fields) = try live.document()
                try exchange.take(fields, document, into: &actions)
            case (_, _):
                throw GatewayError(.upstreamTruncated, "The upstream's answer ended before it said how the job stands.")
            }
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard self.isLive(call) else { return }
        // That it was refused, and how, was in the head already.
        if self.live?.form == .error, self.live?.purpose != .cancel {
            return self.callRefused(abandoning: false, into: &actions)
        }
        self.callFailed(error, abandoning: false, into: &actions)
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.isCancelling, let step = self.next.take() else { return }
        switch step {
        case .poll: self.poll(into: &actions)
        case .result: self.fetchResult(into: &actions)
        case .picture(let index): self.fetchPicture(index, into: &actions)
        }
    }

    mutating func cancel(into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.isCancelling else { return }
        self.isCancelling = true
        self.next = nil
        // Without an id there is nothing to name to the upstream: the submission's answer is waited for.
        if self.live?.purpose == .submit, self.jobID == nil { return }
        self.sendCancel(into: &actions)
    }
}

// MARK: Calls

extension QueueExchange {
    func isLive(_ call: Int) -> Bool { !self.isFinished && self.live?.call == call }

    /// Runs one reaction; what it throws has made the live call useless.
    mutating func react(
        abandoning: Bool = true, into actions: inout ExchangeActions,
        _ reaction: (inout QueueExchange, inout ExchangeActions) throws(GatewayError) -> Void
    ) {
        do throws(GatewayError) {
            try reaction(&self, &actions)
        } catch {
            guard !self.isFinished else { return }
            self.callFailed(error, abandoning: abandoning, into: &actions)
        }
    }

    /// False where the URL needs what is not known.
    mutating func send(
        _ template: QueueCallTemplate, _ purpose: QueueResponse.Purpose, streams: Bool = false,
        into actions: inout ExchangeActions
    ) -> Bool {
        let values = QueueCallTemplate.Values(
            base: self.configuration.baseURL, jobID: self.jobID, model: self.model, links: self.links)
        guard let url = template.url(values) else { return false }
        var call = ExchangeCall(
            method: template.method, url: url, headers: template.headers, purpose: Self.purpose(purpose),
            maximumResponseBytes: purpose == .events || streams ? nil : self.configuration.maximumEventBytes)
        if let header = self.definition.key, let key = self.configuration.apiKey {
            call.headers[header.name] = header.prefix + key
        }
        if call.headers[.accept] == nil { call.headers[.accept] = streams ? "text/event-stream" : "application/json" }
        if purpose == .submit {
            call.headers[.contentType] = self.body.contentType
            call.body = self.body.pieces
        }
        self.open(call, purpose, into: &actions)
        return true
    }

    mutating func open(
        _ call: ExchangeCall, _ purpose: QueueResponse.Purpose, into actions: inout ExchangeActions
    ) {
        self.abandonLive(into: &actions)
        self.live = QueueResponse(
            call: self.calls, purpose: purpose, paths: self.definition.reply.paths,
            maximumBytes: self.configuration.maximumEventBytes,
            takesPictures: call.headers[.accept]?.hasPrefix("image/") ?? false)
        actions.append(.send(call, call: self.calls))
        self.calls += 1
    }

    mutating func abandonLive(into actions: inout ExchangeActions) {
        if let live = self.live.take() { actions.append(.abandon(call: live.call)) }
    }

    static func purpose(_ purpose: QueueResponse.Purpose) -> ExchangeCall.Purpose {
        switch purpose {
        case .submit: .submit
        case .status: .status
        case .events: .events
        case .result: .result
        case .cancel: .cancel
        case .picture: .resultURL
        }
    }

    /// Waits at least `milliseconds`, a little longer by chance so that many jobs do not ask in step.
    mutating func wait(_ milliseconds: Int, then step: Step, into actions: inout ExchangeActions) {
        guard !self.isCancelling else { return }
        self.next = step
        let extra = Int(self.jitter.next() % UInt64(max(1, milliseconds / 10)))
        self.waitedSinceAccepted += milliseconds + extra
        actions.append(.wait(milliseconds: milliseconds + extra, timer: Self.timer))
    }

    mutating func finish(_ error: GatewayError?, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.isFinished = true
        self.abandonLive(into: &actions)
        actions.append(.finish(error))
    }

    mutating func accept(into actions: inout ExchangeActions) {
        guard !self.wasAccepted else { return }
        self.wasAccepted = true
        self.billed = .maybe
        actions.append(.emit(.accepted))
    }

    mutating func sendCancel(into actions: inout ExchangeActions) {
        self.abandonLive(into: &actions)
        guard let template = self.definition.cancel, self.jobID != nil, !self.results.hasBegun,
            self.send(template, .cancel, into: &actions)
        else { return self.finishCancelled(into: &actions) }
    }

    mutating func finishCancelled(into actions: inout ExchangeActions) {
        self.live = nil
        self.finish(GatewayError(.cancelled, "The job was cancelled.", billed: self.billed), into: &actions)
    }
}
