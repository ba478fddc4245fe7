import ImageGeneration
import Logging
import Providers
import Transport

extension ExchangeDriver {
    /// One upstream asked, or about to be, for the job.
    struct Attempt {
        /// From 1; rises with each retry and fallback.
        private(set) var number = 1
        private(set) var target: UpstreamTarget
        private(set) var timeouts: RouteTable.Timeouts
        private(set) var request: ImageRequest
        /// Nil where nobody counts.
        var permit: UpstreamPermit?
        var fallbacks: Fallbacks?
        var policy = AttemptPolicy()
        /// Calls that may cost something, told to the store or sent.
        var submissions = 0
        /// Of those, handed to the transport, less those of which no byte left.
        var sent = 0
        let urlPolicy: ResultURLPolicy
        var phase = Phase.turn
        /// Why the attempt before failed.
        var failure: GatewayError?

        enum Phase {
            /// For a place at the upstream.
            case turn
            /// For the time that the upstream or the backoff asks.
            case pause
            case running
        }

        init(_ plan: JobPlan) {
            self.target = plan.upstream
            self.timeouts = plan.timeouts
            self.request = plan.request
            self.permit = plan.permit
            self.fallbacks = plan.fallbacks
            self.urlPolicy = Self.urlPolicy(plan.upstream)
        }

        /// The same upstream once more, from the same place.
        init(after failed: Attempt, failure: GatewayError) {
            self = failed
            self.failure = failure
            self.number = failed.number + 1
            self.submissions = 0
            self.sent = 0
        }

        /// Another upstream.
        init(_ choice: Fallbacks.Choice, after failed: Attempt, rest: Fallbacks) {
            self.number = failed.number + 1
            self.target = choice.target
            self.timeouts = choice.timeouts
            self.request = choice.request
            self.permit = choice.permit
            self.fallbacks = rest
            self.urlPolicy = Self.urlPolicy(choice.target)
        }

        private static func urlPolicy(_ target: UpstreamTarget) -> ResultURLPolicy {
            ResultURLPolicy(
                base: target.baseURL, hosts: target.resultHosts, allowsPrivateNetwork: target.allowsPrivateNetwork)
        }

        // Exchanges number their calls and timers from anywhere; those of an earlier attempt must not be taken for this one's.
        private static let stride = 1 << 24
        private var base: Int { (self.number - 1) * Self.stride }

        func callID(_ number: Int) -> UpstreamCallID { UpstreamCallID(self.base + number) }
        func timerID(_ number: Int) -> UpstreamTimerID { UpstreamTimerID(self.base + number) }
        func number(_ call: UpstreamCallID) -> Int? { self.own(call.rawValue) }
        func number(_ timer: UpstreamTimerID) -> Int? { self.own(timer.rawValue) }
        private func own(_ value: Int) -> Int? { value >= self.base ? value - self.base : nil }
    }

    // MARK: Before an attempt

    /// Begins the exchange once the upstream has a place and its own word allows it.
    func awaitTurn() {
        self.attempt.phase = .turn
        guard let permit = self.attempt.permit else { return self.run() }
        if case .waiting = permit.standing, let session = self.session {
            let number = self.attempt.number
            permit.onChange { [weak self] _ in
                guard let self else { return }
                session.execute {
                    if self.attempt.number == number { self.turnMoved() }
                }
            }
        }
        self.turnMoved()
    }

    private func turnMoved() {
        guard self.attempt.phase == .turn, !self.assembler.isOver, let permit = self.attempt.permit else { return }
        switch permit.standing {
        case .waiting(let ahead):
            self.boundWait()
            let status = UpstreamStatus(stage: .queued, queuePosition: ahead)
            self.perform(self.assembler.wait(status, now: self.environment.now()))
        case .admitted:
            // Told to whoever waits as well: the upstream may have said so while the job stood in line.
            let held = permit.heldMilliseconds
            guard held == 0 else { return self.pause(held + 1, reason: "rate_limited") }
            self.perform(self.assembler.admitted(now: self.environment.now()))
            self.run()
        }
    }

    /// The queue time bounds all waiting, also behind an attempt that was under way when it ran out.
    private func boundWait() {
        let waited = self.environment.now().milliseconds - self.job.createdAt.milliseconds
        let rest = max(0, self.job.plan.timeouts.queue.milliseconds - waited)
        self.session?.schedule(OwnTimer.queue, after: .milliseconds(rest))
    }

    private func run() {
        self.attempt.phase = .running
        self.beginExchange()
    }

    private func pause(_ milliseconds: Int, reason: String) {
        let now = self.environment.now()
        self.attempt.phase = .pause
        self.boundWait()
        self.session?.schedule(OwnTimer.attempt, after: .milliseconds(milliseconds))
        self.perform(
            self.assembler.pause(
                reason: reason, until: Timestamp(milliseconds: now.milliseconds + Int64(milliseconds)), now: now))
    }

    /// The time is over.
    func attemptDue() {
        guard self.attempt.phase == .pause, !self.assembler.isOver else { return }
        guard let error = self.attempt.permit?.askAgain() else {
            self.attempt.phase = .turn
            return self.turnMoved()
        }
        self.attempt.permit?.end(.left)
        if !self.moveOn(after: error) { self.finishJob(self.attempt.failure ?? error) }
    }

    // MARK: Under way

    /// A call's request leaves. Where the answer comes only with the pictures, this is all there is to tell before.
    func sending(call: UpstreamCallID) {
        guard let number = self.attempt.number(call), self.purposes.worksInSilence(number), !self.isExchangeOver else {
            return
        }
        let status = UpstreamStatus(stage: .processing, message: "\(self.attempt.target.name) was asked.")
        self.perform(self.assembler.wait(status, now: self.environment.now()))
    }

    /// No byte of a submission was sent after all. Of several, each may cost something by itself.
    func notSubmitted() {
        self.attempt.sent -= 1
        if self.attempt.sent <= 0 { self.assembler.notSubmitted() }
    }

    // MARK: After an attempt

    /// The exchange has failed; nothing of it is under way any more.
    /// - Returns: true when the job goes on with another attempt.
    func goesOn(after error: GatewayError) -> Bool {
        guard let permit = self.attempt.permit, !self.assembler.isOver else {
            self.attempt.permit?.end(.left)
            return false
        }
        if permit.failed(error) {
            self.lines.log(.warning, "upstream left alone", ["code": "\(error.code.rawValue)"])
        }
        if AttemptPolicy.concerns(error), self.assembler.mayBeginAgain(after: error), self.tryOn(after: error) {
            return true
        }
        permit.end(.left)
        return false
    }

    private func tryOn(after error: GatewayError) -> Bool {
        let condition = self.attempt.target.condition
        let waited = self.environment.now().milliseconds - self.job.createdAt.milliseconds
        let decision = self.attempt.policy.decide(
            after: error,
            AttemptPolicy.Situation(
                settings: condition.settings.retry, hasAlternative: self.attempt.fallbacks?.hasOpen ?? false,
                remaining: self.job.plan.timeouts.queue.milliseconds - waited, jitter: Double.random(in: 0..<1)))
        switch decision {
        case .giveUp: return false
        case .elsewhere: return self.moveOn(after: error)
        case .again(let milliseconds):
            guard condition.takeRetry() else { return self.moveOn(after: error) }
            return self.askAgain(after: error, milliseconds)
        }
    }

    private func askAgain(after error: GatewayError, _ milliseconds: Int) -> Bool {
        guard let exchange = try? self.exchange(of: self.attempt) else { return false }
        self.logRetry(error, "asking again", milliseconds)
        self.begin(Attempt(after: self.attempt, failure: error), exchange)
        self.pause(milliseconds, reason: error.retryReason)
        return true
    }

    private func moveOn(after error: GatewayError) -> Bool {
        let left = self.attempt.permit
        while var fallbacks = self.attempt.fallbacks, let choice = fallbacks.next() {
            var next = Attempt(choice, after: self.attempt, rest: fallbacks)
            guard let exchange = try? self.exchange(of: next) else {
                next.permit?.end(.left)
                self.attempt.fallbacks = fallbacks
                continue
            }
            left?.end(.left)
            self.logRetry(error, "asking \(choice.target.name)", 0)
            next.policy.moved()
            self.begin(next, exchange)
            self.perform(
                self.assembler.fallBack(
                    to: choice.target, request: choice.request, dropped: choice.dropped, reason: error.retryReason,
                    now: self.environment.now()))
            self.awaitTurn()
            return true
        }
        return false
    }

    private func begin(_ attempt: Attempt, _ exchange: any ProviderExchange) {
        self.attempt = attempt
        self.lines.upstream = attempt.target.name
        self.exchange = exchange
        self.hasSubmitted = false
        self.isAccepted = false
        // Of the attempt before, if it got so far.
        self.session?.cancelTimer(OwnTimer.total)
        self.assembler.beginAgain(attempt: attempt.number)
    }

    private func exchange(of attempt: Attempt) throws(GatewayError) -> any ProviderExchange {
        try attempt.target.adapter.makeExchange(
            for: ExchangeJob(id: self.job.id, request: attempt.request, entropy: UInt64.random(in: 0 ... .max)))
    }

    private func logRetry(_ error: GatewayError, _ what: String, _ milliseconds: Int) {
        self.lines.log(
            .info, "attempt failed, \(what)",
            [
                "code": "\(error.code.rawValue)", "attempt": "\(self.attempt.number)", "wait_ms": "\(milliseconds)",
                "cause": "\(error.cause ?? "")",
            ])
    }
}

extension GatewayError {
    /// As in a stage event.
    fileprivate var retryReason: String { self.code == .upstreamRateLimited ? "rate_limited" : self.code.rawValue }
}
