import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One call that blocks until the pictures are done, with another beside it that asks how far they are.
///
/// The server works on one task at a time, and its `progress` and `interrupt` are about whichever runs. So progress is asked by the
/// task's own id; where the server cannot say that, its global answer counts only if the server was idle before we submitted.
/// The same decides whether a cancel may interrupt it. A call that was interrupted answers 200 with a picture half done:
/// behind each answer the server is asked whether that happened.
struct Automatic1111Exchange: ProviderExchange {
    private static let timer = 0
    /// Between two questions, in milliseconds: each one with a picture costs the server a decoding.
    static let interval = 500
    /// Times that the server is asked behind an answer whether it was interrupted.
    private static let maximumChecks = 3

    private let request: ImageRequest
    private let configuration: ProviderConfiguration
    private let secret: String?
    private let writer: Automatic1111RequestBody
    private let body: [ByteBuffer]

    private var phase = Phase.looking
    private var calls = 0
    /// The call that draws.
    private var work: UpstreamAnswer?
    /// The question under way.
    private var probe: UpstreamAnswer?
    private var result: (document: ByteBuffer, fields: JSONFieldScanner)?

    /// Whom progress is asked of.
    private var source = Source.task
    /// Nobody else's task ran when ours was submitted.
    private var wasIdle = false
    /// Our task was running when last asked.
    private var isActive = false
    private var wasInterrupted = false
    private var checks = 0
    private var previews = Automatic1111Previews()
    private var shown: UpstreamStatus?
    private var billed: GatewayError.Billed = .no

    private enum Phase { case looking, working, checking, cancelling, over }
    private enum Source { case task, server, none }

    init(
        job: ExchangeJob, writer: Automatic1111RequestBody, configuration: ProviderConfiguration, secret: String?
    ) throws(GatewayError) {
        self.request = job.request
        self.configuration = configuration
        self.secret = secret
        self.writer = writer
        self.body = try writer.pieces()
        self.previews.wanted = job.request.partialImages ?? 0
    }

    /// Looks before it submits: whoever runs now is not to be interrupted, nor shown.
    mutating func start(into actions: inout ExchangeActions) {
        self.ask(.server, picture: false, into: &actions)
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        self.react(call, into: &actions) { exchange, actions throws(GatewayError) in
            if exchange.work?.call == call {
                try exchange.work?.take(head)
            } else if exchange.probe?.call == call {
                try exchange.probe?.take(head)
            }
        }
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        self.react(call, into: &actions) { exchange, actions throws(GatewayError) in
            if exchange.work?.call == call {
                guard try exchange.work?.append(bytes) == true else {
                    return exchange.workRefused(abandoning: true, into: &actions)
                }
            } else if exchange.probe?.call == call {
                _ = try exchange.probe?.append(bytes)
            }
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        self.react(call, into: &actions) { exchange, actions throws(GatewayError) in
            if exchange.work?.call == call {
                try exchange.workEnded(into: &actions)
            } else if exchange.probe?.call == call {
                try exchange.probeEnded(into: &actions)
            }
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard self.phase != .over else { return }
        if self.work?.call == call {
            // That it was refused, and how, was in the head already.
            if self.work?.form == .error { return self.workRefused(abandoning: false, into: &actions) }
            self.work = nil
            self.finish(error.billed(atLeast: self.billed), into: &actions)
        } else if self.probe?.call == call {
            self.probe = nil
            self.probeFailed(error, into: &actions)
        }
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard self.probe == nil else { return }
        if self.phase == .checking { return self.ask(.server, picture: false, into: &actions) }
        guard self.phase == .working, self.source != .none else { return }
        self.ask(self.source, picture: self.previews.wantsMore, into: &actions)
    }

    mutating func cancel(into actions: inout ExchangeActions) {
        guard self.phase != .over, self.phase != .cancelling else { return }
        let mayInterrupt =
            self.phase == .working && (self.source == .task ? self.isActive || self.wasIdle : self.wasIdle)
        if self.phase != .looking { self.billed = .maybe }
        self.phase = .cancelling
        guard mayInterrupt else { return self.finishCancelled(into: &actions) }
        self.open(
            self.configuration.call(.post, "/sdapi/v1/interrupt", .cancel), accepting: [], into: &actions)
    }
}

// MARK: Calls

extension Automatic1111Exchange {
    /// A fault in the answer to a question is no fault of the job.
    private mutating func react(
        _ call: Int, into actions: inout ExchangeActions,
        _ reaction: (inout Automatic1111Exchange, inout ExchangeActions) throws(GatewayError) -> Void
    ) {
        guard self.phase != .over else { return }
        do throws(GatewayError) {
            try reaction(&self, &actions)
        } catch {
            guard self.phase != .over else { return }
            if let probe = self.probe, probe.call == call {
                self.abandonProbe(into: &actions)
                self.probeFailed(error, into: &actions)
            } else {
                self.finish(error.billed(atLeast: self.billed), into: &actions)
            }
        }
    }

    private mutating func ask(_ source: Source, picture: Bool, into actions: inout ExchangeActions) {
        guard source == .task else {
            let call = self.configuration.call(
                .get, "/sdapi/v1/progress", .status, query: [("skip_current_image", picture ? "false" : "true")])
            return self.open(call, accepting: .json, into: &actions)
        }
        var call = self.configuration.call(.post, "/internal/progress", .status)
        var json = JSONWriter()
        json.beginObject()
        json.field("id_task", self.writer.taskID)
        json.field("id_live_preview", self.previews.lastID)
        json.field("live_preview", picture)
        json.endObject()
        call.headers[.contentType] = "application/json"
        call.body = [json.buffer]
        self.open(call, accepting: .json, into: &actions)
    }

    private mutating func open(
        _ call: ExchangeCall, accepting: UpstreamAnswer.Forms, into actions: inout ExchangeActions
    ) {
        self.abandonProbe(into: &actions)
        self.probe = self.answer(accepting)
        var call = call
        call.headers[.accept] = "application/json"
        call.maximumResponseBytes = self.configuration.maximumEventBytes
        actions.append(.send(call, call: self.calls))
        self.calls += 1
    }

    private func answer(_ forms: UpstreamAnswer.Forms) -> UpstreamAnswer {
        UpstreamAnswer(
            call: self.calls, accepting: forms, documents: Automatic1111Field.paths,
            maximumBytes: self.configuration.maximumEventBytes)
    }

    private mutating func submit(into actions: inout ExchangeActions) {
        self.phase = .working
        var call = self.configuration.call(.post, self.writer.path, .submit)
        call.headers[.accept] = "application/json"
        call.headers[.contentType] = "application/json"
        call.body = self.body
        // Behind another's task it would wait; whether it does is asked.
        call.worksInSilence = self.wasIdle
        self.work = self.answer(.json)
        actions.append(.send(call, call: self.calls))
        self.calls += 1
        self.askLater(into: &actions)
    }

    private func askLater(into actions: inout ExchangeActions) {
        guard self.phase == .working, self.source != .none else { return }
        actions.append(.wait(milliseconds: Self.interval, timer: Self.timer))
    }

    private mutating func abandonProbe(into actions: inout ExchangeActions) {
        if let probe = self.probe.take() { actions.append(.abandon(call: probe.call)) }
    }

    private mutating func finish(_ error: GatewayError?, into actions: inout ExchangeActions) {
        guard self.phase != .over else { return }
        self.phase = .over
        self.abandonProbe(into: &actions)
        if let work = self.work.take() { actions.append(.abandon(call: work.call)) }
        actions.append(.finish(error))
    }

    private mutating func finishCancelled(into actions: inout ExchangeActions) {
        self.finish(GatewayError(.cancelled, "The job was cancelled.", billed: self.billed), into: &actions)
    }
}

// MARK: Questions

extension Automatic1111Exchange {
    private mutating func probeEnded(into actions: inout ExchangeActions) throws(GatewayError) {
        guard var probe = self.probe.take() else { return }
        switch self.phase {
        case .cancelling: return self.finishCancelled(into: &actions)
        case .looking where probe.status == 401 || probe.status == 403:
            return self.finish(probe.refusal(hiding: self.secret), into: &actions)
        case .over: return
        case .looking, .working, .checking: break
        }
        guard probe.form == .json else {
            return self.probeFailed(probe.refusal(hiding: self.secret), into: &actions)
        }
        let reply: Automatic1111Reply
        do throws(GatewayError) {
            let (document, fields) = try probe.document()
            reply = Automatic1111Reply(fields: fields, document: document)
        } catch { return self.probeFailed(error, into: &actions) }
        switch self.phase {
        case .looking:
            self.wasIdle = reply.integer(.jobCount) == 0
            self.submit(into: &actions)
        case .working:
            self.take(reply, into: &actions)
            self.askLater(into: &actions)
        case .checking:
            // Once another task runs the flag is that one's.
            if reply.isTrue(.interrupted), reply.integer(.jobCount) == 0 { self.wasInterrupted = true }
            try self.conclude(into: &actions)
        case .cancelling, .over: break
        }
    }

    private mutating func probeFailed(_ error: GatewayError, into actions: inout ExchangeActions) {
        switch self.phase {
        case .looking:
            // A server that cannot be reached is told before anything is submitted.
            if error.upstreamStatus == nil, error.code != .upstreamProtocol {
                return self.finish(error, into: &actions)
            }
            self.submit(into: &actions)
        case .working:
            if error.upstreamStatus != nil { self.source = self.source == .task && self.wasIdle ? .server : .none }
            self.askLater(into: &actions)
        case .checking: self.checkFailed(error, into: &actions)
        case .cancelling: self.finishCancelled(into: &actions)
        case .over: break
        }
    }

    /// Not knowing is no proof of an interruption; a server without `progress` cannot be asked at all.
    private mutating func checkFailed(_ error: GatewayError, into actions: inout ExchangeActions) {
        self.checks += 1
        guard error.upstreamStatus != nil || self.checks >= Self.maximumChecks else {
            actions.append(.wait(milliseconds: Self.interval, timer: Self.timer))
            return
        }
        do throws(GatewayError) { try self.conclude(into: &actions) } catch {
            self.finish(error.billed(atLeast: self.billed), into: &actions)
        }
    }

    private mutating func take(_ reply: Automatic1111Reply, into actions: inout ExchangeActions) {
        if self.source == .task {
            self.isActive = reply.isTrue(.active)
            if reply.isTrue(.queued) {
                return self.show(
                    UpstreamStatus(stage: .queued, queuePosition: reply.queuePosition), into: &actions)
            }
            guard self.isActive else { return }
        } else {
            guard reply.integer(.jobCount).map({ $0 != 0 }) ?? false else { return }
            if reply.isTrue(.interrupted) { self.wasInterrupted = true }
        }
        let percentage = reply.percentage
        let stage: Stage = (percentage ?? 0) > 0 ? .generating : .processing
        self.show(
            UpstreamStatus(
                stage: stage, progress: percentage, estimatedMilliseconds: reply.estimatedMilliseconds), into: &actions)
        if let preview = self.previews.take(reply, count: max(1, self.request.count)) {
            actions.append(.emit(preview))
        }
    }

    private mutating func show(_ status: UpstreamStatus, into actions: inout ExchangeActions) {
        let isNews =
            self.shown?.stage != status.stage || self.shown?.progress != status.progress
            || self.shown?.queuePosition != status.queuePosition
        guard isNews else { return }
        self.shown = status
        actions.append(.emit(.status(status)))
    }
}

// MARK: The result

extension Automatic1111Exchange {
    private mutating func workEnded(into actions: inout ExchangeActions) throws(GatewayError) {
        if self.work?.form == .error { return self.workRefused(abandoning: false, into: &actions) }
        guard var work = self.work.take() else { return }
        self.billed = .maybe
        guard self.phase == .working else { return }
        self.result = try work.document()
        self.phase = .checking
        self.ask(.server, picture: false, into: &actions)
    }

    private mutating func workRefused(abandoning: Bool, into actions: inout ExchangeActions) {
        guard let work = self.work else { return }
        if !abandoning { self.work = nil }
        self.finish(
            work.refusal(parameters: Automatic1111RequestBody.clientParameters, hiding: self.secret), into: &actions)
    }

    private mutating func conclude(into actions: inout ExchangeActions) throws(GatewayError) {
        guard let (document, fields) = self.result.take() else { return }
        guard !self.wasInterrupted else {
            return self.finish(
                GatewayError(
                    .upstreamError, "The upstream was interrupted before the picture was complete.", billed: .maybe),
                into: &actions)
        }
        let reply = Automatic1111Reply(fields: fields, document: document)
        let count = max(1, self.request.count)
        let images = reply.images(count: count)
        guard !images.isEmpty else {
            return self.finish(
                GatewayError(.noImage, "The upstream finished without a picture.", billed: .maybe), into: &actions)
        }
        self.billed = .yes
        for (index, image) in images.enumerated() {
            let payload = try UpstreamPicture.canonical(image, in: document)
            actions.append(
                .emit(.image(UpstreamImage(imageIndex: index, attributes: UpstreamImageAttributes(), payload: payload)))
            )
        }
        for index in images.count..<max(images.count, count) {
            actions.append(
                .emit(
                    .imageFailed(
                        imageIndex: index,
                        GatewayError(.noImage, "The upstream drew fewer pictures than asked for.", billed: .yes))))
        }
        self.finish(nil, into: &actions)
    }
}
