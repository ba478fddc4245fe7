import ImageGeneration

extension QueueExchange {
    /// The live call was answered by an error status.
    mutating func callRefused(abandoning: Bool, into actions: inout ExchangeActions) {
        guard let live = self.live, let status = live.status else { return }
        var report = live.failure
        if !abandoning { self.live = nil }
        if live.purpose == .submit { return self.submissionRefused(report, status, into: &actions) }
        if live.purpose == .events { return self.pollInstead(into: &actions) }
        if status == 404, live.purpose == .status { return self.handleUnknownJob(report, into: &actions) }
        if (300..<400).contains(status) { report.message = nil }
        self.definition.failureCodes.judge(&report)
        var error = report.gatewayError(
            billed: self.billed, hiding: self.configuration.apiKey, readsWords: live.purpose == .result)
        if case .picture = live.purpose { error = Self.pictureError(status) }
        let mayRetry = status == 429 || status == 408 || status >= 500
        self.abandonLive(into: &actions)
        self.failedStep(live.purpose, error, mayRetry: mayRetry && error.code != .refused, into: &actions)
    }

    mutating func submissionRefused(
        _ report: UpstreamErrorReport, _ status: Int, into actions: inout ExchangeActions
    ) {
        guard !self.isCancelling else { return self.finishCancelled(into: &actions) }
        var report = report
        self.definition.failureCodes.judge(&report)
        let error =
            (300..<400).contains(status)
            ? GatewayError(.upstreamProtocol, "The upstream answered with a redirect.", upstreamStatus: status)
            : report.gatewayError(
                billed: UpstreamErrorReport.billed(forStatus: status), parameters: self.definition.body.parameters,
                hiding: self.configuration.apiKey)
        self.finish(error, into: &actions)
    }

    /// The live call broke, or brought what cannot be used.
    mutating func callFailed(
        _ error: GatewayError, abandoning: Bool, into actions: inout ExchangeActions
    ) {
        guard let live = self.live else { return self.finish(error.billed(atLeast: self.billed), into: &actions) }
        if abandoning { self.abandonLive(into: &actions) } else { self.live = nil }
        switch live.purpose {
        case .cancel: self.finishCancelled(into: &actions)
        case .events: self.pollInstead(into: &actions)
        case .submit where self.isCancelling:
            if self.jobID == nil { self.finishCancelled(into: &actions) } else { self.sendCancel(into: &actions) }
        case .submit:
            // A stream that broke after it named the job can be followed by polling.
            if self.jobID != nil { return self.pollInstead(into: &actions) }
            self.finish(error.billed(atLeast: self.billed), into: &actions)
        case .status, .result, .picture:
            self.failedStep(
                live.purpose, error.billed(atLeast: self.billed), mayRetry: Self.mayRepeat(error, live.purpose),
                into: &actions)
        }
    }

    /// A page in place of a status may be a proxy's for the moment; in place of a picture it is what the link leads to.
    static func mayRepeat(_ error: GatewayError, _ purpose: QueueResponse.Purpose) -> Bool {
        switch error.code {
        case .upstreamUnreachable, .upstreamTimeout, .upstreamStalled, .upstreamTruncated: return true
        case .upstreamProtocol:
            if case .picture = purpose { return false }
            return true
        default: return false
        }
    }

    mutating func failedStep(
        _ purpose: QueueResponse.Purpose, _ error: GatewayError, mayRetry: Bool, into actions: inout ExchangeActions
    ) {
        self.failures += 1
        guard mayRetry, self.failures < Self.maximumFailures else {
            if case .picture(let index) = purpose { return self.finishPicture(index, .failure(error), into: &actions) }
            return self.finish(error, into: &actions)
        }
        let backedOff = self.definition.poll.interval << min(self.failures - 1, 5)
        let delay = min(max(backedOff, error.retryAfterMilliseconds ?? 0), Self.maximumWait)
        switch purpose {
        case .picture(let index): self.wait(delay, then: .picture(index), into: &actions)
        case .result: self.wait(delay, then: .result, into: &actions)
        default: self.wait(delay, then: .poll, into: &actions)
        }
    }
}
