import ImageGeneration
import NIOCore
import StreamCodecs

extension QueueExchange {
    /// A reply or event that says how the job stands, or names what came of it.
    mutating func take(
        _ fields: JSONFieldScanner, _ document: ByteBuffer, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        guard let live = self.live else { return }
        let reply = QueueReply(fields: fields, document: document, paths: self.definition.reply)
        if live.form == .json { self.live = nil }
        if live.purpose == .submit { try self.learnJob(reply, into: &actions) }
        if self.isCancelling {
            if self.jobID != nil || live.form == .json { self.sendCancel(into: &actions) }
            return
        }
        let (state, unknown) = reply.state
        if live.purpose == .result, state.map({ $0 <= .succeeded }) ?? true {
            return self.takeResults(reply, mayAskAgain: false, into: &actions)
        }
        switch state {
        case .succeeded: self.succeeded(reply, by: live.purpose, into: &actions)
        case .failed, .refused, .filtered, .cancelled: self.finish(self.error(reply, state), into: &actions)
        case .missing: self.handleUnknownJob(UpstreamErrorReport(status: 404), into: &actions)
        default:
            if let unknown, self.shown.isNews(unknown: unknown) {
                actions.append(.emit(.unknownEvent(type: UpstreamText.label(unknown))))
            }
            self.show(reply, state, into: &actions)
            self.goOn(after: live, into: &actions)
        }
    }

    mutating func learnJob(_ reply: QueueReply, into actions: inout ExchangeActions) throws(GatewayError) {
        guard self.jobID == nil, let id = reply.text(self.definition.reply.jobID) else { return }
        guard QueueHandle.isUsable(jobID: id) else {
            throw GatewayError(.upstreamProtocol, "The upstream's job id cannot be used.", billed: .maybe)
        }
        for (name, paths) in self.definition.reply.links {
            guard let link = reply.text(paths) else { continue }
            guard QueueURL.isTrusted(link, base: self.configuration.baseURL, hosts: self.definition.linkHosts) else {
                // Without a stream of states, or a way to cancel, a job comes to its end all the same.
                guard self.definition.needs(link: name) else { continue }
                throw GatewayError(
                    .upstreamProtocol, "The upstream named an address outside of its own hosts.", billed: .maybe)
            }
            self.links[name] = link
        }
        self.jobID = id
        let handle = QueueHandle(
            jobID: id, links: self.links, model: self.definition.followsByModel ? self.model : nil)
        // Without a handle the job cannot be picked up, but it can be followed from here.
        if let text = handle.text(hiding: self.configuration.apiKey) { actions.append(.emit(.handle(text))) }
    }

    /// Begins behind the submission. The upstream took the job long ago, so the time it has runs at once.
    mutating func pickUp(into actions: inout ExchangeActions) {
        self.accept(into: &actions)
        self.follow(into: &actions)
    }

    /// Begins to follow the job as the definition says: by events from their start, else by polling.
    mutating func follow(into actions: inout ExchangeActions) {
        if self.definition.follow != .poll, let events = self.definition.events,
            self.send(events, .events, streams: true, into: &actions)
        {
            return
        }
        self.scheduleNextPoll(into: &actions)
    }

    /// Emits the standing where it says something new.
    mutating func show(_ reply: QueueReply, _ state: QueueState?, into actions: inout ExchangeActions) {
        var standing = self.shown
        standing.stage = state?.stage ?? self.shown.stage ?? .queued
        standing.progress = reply.progress ?? standing.progress
        standing.queuePosition = reply.queuePosition
        standing.message = UpstreamText.clean(
            reply.text(self.definition.reply.message), hiding: self.configuration.apiKey)
        self.show(standing, estimate: reply.estimatedMilliseconds, into: &actions)
    }

    private mutating func show(
        _ standing: QueueStanding, estimate: Int? = nil, into actions: inout ExchangeActions
    ) {
        guard standing != self.shown else { return }
        self.shown = standing
        self.interval = self.definition.poll.interval
        actions.append(
            .emit(
                .status(
                    UpstreamStatus(
                        stage: standing.stage ?? .queued, progress: standing.progress,
                        queuePosition: standing.queuePosition, estimatedMilliseconds: estimate,
                        message: standing.message))))
    }

    mutating func goOn(after live: QueueResponse, into actions: inout ExchangeActions) {
        self.failures = 0
        guard live.form == .json else { return }
        guard live.purpose == .submit else {
            return self.scheduleNextPoll(atLeast: live.retryAfterMilliseconds ?? 0, into: &actions)
        }
        guard self.jobID != nil else {
            return self.finish(
                GatewayError(.upstreamProtocol, "The upstream did not name the job.", billed: .maybe), into: &actions)
        }
        self.follow(into: &actions)
    }

    /// - Parameter asked: milliseconds that the service wants to be left alone.
    mutating func scheduleNextPoll(atLeast asked: Int = 0, into actions: inout ExchangeActions) {
        self.wait(max(self.interval, min(asked, Self.maximumWait)), then: .poll, into: &actions)
        self.interval = min(self.interval + self.interval / 2, self.definition.poll.maximumInterval)
    }

    mutating func poll(into actions: inout ExchangeActions) {
        if !self.send(self.definition.status, .status, into: &actions) {
            self.finish(
                GatewayError(.upstreamProtocol, "The upstream did not name where to ask for the job.", billed: .maybe),
                into: &actions)
        }
    }

    mutating func pollInstead(into actions: inout ExchangeActions) {
        self.abandonLive(into: &actions)
        self.scheduleNextPoll(into: &actions)
    }

    mutating func handleUnknownJob(_ report: UpstreamErrorReport, into actions: inout ExchangeActions) {
        guard self.waitedSinceAccepted >= self.definition.poll.unknownJobGrace else {
            return self.pollInstead(into: &actions)
        }
        self.finish(
            GatewayError(
                .upstreamError, "The upstream no longer knows the job.", billed: .maybe, upstreamStatus: report.status),
            into: &actions)
    }

    func error(_ reply: QueueReply, _ state: QueueState?) -> GatewayError {
        switch state {
        case .cancelled:
            return GatewayError(.upstreamError, "The job was cancelled at the upstream.", billed: .maybe)
        case .refused, .filtered:
            let shown = UpstreamText.clean(reply.failure.message, hiding: self.configuration.apiKey)
            return GatewayError(
                .refused, shown ?? "The upstream's moderation refused the request.",
                billed: state == .refused ? .no : .maybe)
        default:
            // The work had begun: that it was refused in the end does not say that it cost nothing.
            var report = reply.failure
            self.definition.failureCodes.judge(&report)
            return report.gatewayError(billed: .maybe, hiding: self.configuration.apiKey, readsWords: true)
        }
    }
}

// MARK: Events of text

extension QueueExchange {
    func use(of frame: ServerSentEventFrame) -> QueueDefinition.EventUse? {
        guard !self.definition.namedEvents.isEmpty, let name = frame.event, name.readableBytes <= 128 else {
            return nil
        }
        return self.definition.namedEvents[String(buffer: name)]
    }

    mutating func take(
        _ text: ByteBuffer, as use: QueueDefinition.EventUse, into actions: inout ExchangeActions
    ) {
        guard !self.isCancelling else { return }
        switch use {
        case .ignore: break
        case .log: self.takeLog(text, into: &actions)
        case .preview: self.takePreview(text, into: &actions)
        case .status:
            self.abandonLive(into: &actions)
            self.poll(into: &actions)
        }
    }

    private mutating func takeLog(_ text: ByteBuffer, into actions: inout ExchangeActions) {
        let tail = text.readableBytesView.suffix(ProgressBar.maximumTail)
        let progress = ProgressBar.percentage(in: tail, form: self.definition.reply.progressLogForm)
        var standing = self.shown
        // Only work that has begun writes a log.
        standing.stage = max(standing.stage ?? .queued, .generating)
        standing.progress = progress ?? standing.progress
        standing.queuePosition = nil
        self.show(standing, into: &actions)
    }

    private mutating func takePreview(_ text: ByteBuffer, into actions: inout ExchangeActions) {
        guard self.previews < self.request.partialImages ?? 0, text.readableBytesView.starts(with: "data:".utf8),
            let payload = try? Base64.canonical(text: text), payload.readableBytes > 0
        else { return }
        actions.append(
            .emit(
                .partialImage(
                    imageIndex: 0, partialImageIndex: self.previews, attributes: UpstreamImageAttributes(),
                    payload: payload)))
        self.previews += 1
    }
}

/// The last standing that was shown.
struct QueueStanding: Equatable {
    var stage: Stage?
    var progress: Int?
    var queuePosition: Int?
    var message: String?
    private var unknown: String?

    /// True the first time in a row.
    mutating func isNews(unknown word: String) -> Bool {
        defer { self.unknown = word }
        return self.unknown != word
    }
}
