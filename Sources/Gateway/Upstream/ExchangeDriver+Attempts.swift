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
        /// Nil where nobody counts, and between two attempts.
        var permit: UpstreamPermit?
        var fallbacks: Fallbacks?
        var policy = AttemptPolicy()
        /// Calls that may cost something, told to the store or sent.
        var submissions = 0
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

        /// The same upstream once more.
        init(after failed: Attempt, failure: GatewayError) {
            self = failed
            self.failure = failure
            self.number = failed.number + 1
            self.permit = nil
            self.submissions = 0
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
            let status = UpstreamStatus(stage: .queued, queuePosition: ahead)
            self.perform(self.assembler.wait(status, now: self.environment.now()))
        case .admitted where permit.heldMilliseconds > 0:
            self.pause(permit.heldMilliseconds, reason: "rate_limited")
        case .admitted:
            self.perform(self.assembler.admitted(now: self.environment.now()))
            self.run()
        }
    }

    private func run() {
        self.attempt.phase = .running
        self.beginExchange()
    }

    private func pause(_ milliseconds: Int, reason: String) {
        let now = self.environment.now()
        self.attempt.phase = .pause
        self.session?.schedule(OwnTimer.attempt, after: .milliseconds(milliseconds))
        self.perform(
            self.assembler.pause(
                reason: reason, until: Timestamp(milliseconds: now.milliseconds + Int64(milliseconds)), now: now))
    }

    /// The time is over: the place that was held, or a new one.
    func attemptDue() {
        guard self.attempt.phase == .pause, !self.assembler.isOver else { return }
        guard self.attempt.permit == nil else { return self.run() }
        switch self.attempt.target.condition.enter(isRetry: true) {
        case .refused(let error):
            if !self.moveOn(after: error) { self.finishJob(self.attempt.failure ?? error) }
        case .entered(let permit):
            self.attempt.permit = permit
            self.awaitTurn()
        }
    }

    // MARK: After an attempt

    /// The exchange has failed; nothing of it is under way any more.
    /// - Returns: true when the job goes on with another attempt.
    func goesOn(after error: GatewayError) -> Bool {
        let permit = self.attempt.permit
        self.attempt.permit = nil
        if permit?.end(self.assembler.isOver ? .left : .failed(error)) == true {
            self.lines.log(.warning, "upstream left alone", ["code": "\(error.code.rawValue)"])
        }
        guard permit != nil, !self.assembler.isOver, AttemptPolicy.concerns(error),
            self.assembler.mayBeginAgain(after: error)
        else { return false }
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
        while var fallbacks = self.attempt.fallbacks, let choice = fallbacks.next() {
            var next = Attempt(choice, after: self.attempt, rest: fallbacks)
            guard let exchange = try? self.exchange(of: next) else {
                next.permit?.end(.left)
                self.attempt.fallbacks = fallbacks
                continue
            }
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
