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
        case .failed, .refused, .cancelled: self.finish(self.error(reply, state), into: &actions)
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
        guard standing != self.shown else { return }
        self.shown = standing
        self.interval = self.definition.poll.interval
        actions.append(
            .emit(
                .status(
                    UpstreamStatus(
                        stage: standing.stage ?? .queued, progress: standing.progress,
                        queuePosition: standing.queuePosition, estimatedMilliseconds: reply.estimatedMilliseconds,
                        message: standing.message))))
    }

    mutating func goOn(after live: QueueResponse, into actions: inout ExchangeActions) {
        self.failures = 0
        guard live.form == .json else { return }
        guard live.purpose == .submit else { return self.scheduleNextPoll(into: &actions) }
        guard self.jobID != nil else {
            return self.finish(
                GatewayError(.upstreamProtocol, "The upstream did not name the job.", billed: .maybe), into: &actions)
        }
        self.follow(into: &actions)
    }

    mutating func scheduleNextPoll(into actions: inout ExchangeActions) {
        self.wait(self.interval, then: .poll, into: &actions)
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
        case .refused:
            let shown = UpstreamText.clean(reply.failure.message, hiding: self.configuration.apiKey)
            return GatewayError(.refused, shown ?? "The upstream's moderation refused the request.")
        default:
            var error = reply.failure.gatewayError(
                billed: .maybe, hiding: self.configuration.apiKey, readsWords: true)
            if error.code == .refused { error.billed = .no }
            return error
        }
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
