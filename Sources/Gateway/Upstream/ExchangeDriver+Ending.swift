import ImageGeneration
import Providers
import Transport

// Cancelling, leaving and the end.

extension ExchangeDriver {
    func obey(_ command: Job.Command) {
        switch command {
        case .cancel(let reason): self.cancel(reason)
        case .leave where self.canBeTakenUp: self.leave()
        case .leave: self.cancel(.operator)
        }
    }

    /// The next process finds in the store what it needs to go on.
    private var canBeTakenUp: Bool {
        guard self.environment.recorder != nil else { return false }
        if self.attempt.number == 1, self.attempt.submissions == 0 { return true }
        return self.hasHandle && self.attempt.target.adapter.capabilities.resumable
    }

    /// Stops without a terminal event and without a word to the upstream.
    private func leave() {
        guard !self.assembler.isOver, !self.isClosed else { return }
        self.release()
        self.job.settle(nil, wasAsked: true)
        self.job.commitment.open()
        self.job.ending.open()
        self.environment.onLeave(self.job)
    }

    private func cancel(_ reason: Cancellation.Reason) {
        guard !self.assembler.isOver else { return }
        self.perform(self.assembler.cancel(reason, now: self.environment.now()))
        self.tellUpstream()
    }

    /// Lets the exchange tell the upstream, within the grace; the job's own log is closed already.
    func tellUpstream() {
        guard !self.isExchangeOver else { return self.close() }
        if self.hasSubmitted { self.job.noteUpstreamCancel(.pending) }
        self.leases.endAll()
        self.session?.cancelTimer(OwnTimer.room)
        self.session?.schedule(OwnTimer.cancel, after: Self.cancelGrace)
        self.feed { exchange, actions in exchange.cancel(into: &actions) }
    }

    /// The exchange ends: what it could not tell by now it tells no more.
    func settleUpstreamCancel() {
        guard self.job.upstreamCancel == .pending else { return }
        self.job.noteUpstreamCancel(self.hasSentCancel ? .failed : .unsupported)
    }

    /// Both halves must be over: the exchange, and the job.
    func close() {
        guard !self.isClosed, self.isEnded else { return }
        self.release()
        self.lines.logEnd()
        self.environment.onEnd(self.job)
    }

    /// Gives back whatever the exchange holds.
    private func release() {
        self.isClosed = true
        self.isExchangeOver = true
        self.attempt.permit?.end(.left)
        self.leases.endAll()
        self.job.onCommand(nil)
        self.session?.close()
        self.session = nil
    }
}
