import Dialects
import HTTPTypes
import ImageGeneration
import Logging
import NIOCore
import Providers
import Storage
import Transport

/// Performs one job's exchange over the transport and writes its log. Everything happens on the session's transport thread:
/// the pieces of a response go from libcurl's callback through decoder, exchange and assembler into the log without a change of
/// thread.
///
/// Proof of `@unchecked Sendable`: `start` touches the stored `var`s before it gives anybody a way to reach the driver.
/// From then on they are touched on the session's thread alone: its callbacks come there, and the beginning, commands, stored
/// pictures and the job store's answers, from whichever thread, go there through the session's queue, which also orders them
/// behind `start`.
final class ExchangeDriver: UpstreamReceiver, @unchecked Sendable {
    struct Environment: Sendable {
        var transport: any UpstreamTransport
        var budget: PayloadBudget
        var keeper: ImageKeeper?
        /// Nil where nothing outlives the process.
        var recorder: JobRecorder?
        var now: @Sendable () -> Timestamp
        var logger: Logger
        /// Called once when the job is over and its session closed.
        var onEnd: @Sendable (Job) -> Void
        /// Called in its place when the job is left to the next process.
        var onLeave: @Sendable (Job) -> Void = { _ in }
    }

    enum StartingPoint: Sendable {
        case beginning
        /// An earlier process submitted the job; its log stood here.
        /// Pictures of `kept` were told of and are in the image store.
        case upstreamWorks(stage: Stage, progress: Int, kept: [FinishedImage] = [])
    }

    let job: Job
    let environment: Environment
    private let urlPolicy: ResultURLPolicy
    private var exchange: any ProviderExchange
    var assembler: JobAssembler
    var session: (any UpstreamSession)?
    private var purposes: [Int: ExchangeCall.Purpose] = [:]
    var isExchangeOver = false
    /// The terminal event is in the log.
    private var isEnded = false
    private var isClosed = false
    private var isAccepted = false
    /// What calls bring of events that are not whole yet, and the memory it is counted by.
    var gathered = GatheredBytes()
    let room: GatheringRoom
    /// Calls that bring nothing until there is room.
    var paused: Set<Int> = []
    /// This read made an event whole.
    private var toldEvent = false
    /// Pictures of one document share its memory, which is counted once: by the lease of this read's last picture.
    var shared: (storage: ObjectIdentifier, lease: PayloadLease)?
    /// Room that one read's actions and steps leave for the next.
    private var spareActions = ExchangeActions()
    private var spareSteps: [JobAssembler.Step] = []

    /// Actions for which room is kept: a burst of small events, not a flood.
    private static let maximumSpare = 256
    /// An upstream may know of the job, so a cancel has somebody to tell.
    private var hasSubmitted = false
    private var hasSentCancel = false
    /// Calls that may cost something, told to the store or sent.
    private var submissions = 0
    /// The upstream's name for the job is on its way into the store; until it is there the upstream is not asked about it.
    private var handlesUnderWay = 0
    private var hasHandle = false
    private var heldCalls: [(call: ExchangeCall, number: Int)] = []

    /// Timer numbers of the driver's own, above any an exchange uses.
    enum OwnTimer {
        static let total = UpstreamTimerID(-1)
        static let queue = UpstreamTimerID(-2)
        static let stage = UpstreamTimerID(-3)
        static let cancel = UpstreamTimerID(-4)
        static let room = UpstreamTimerID(-5)
    }

    /// How long an upstream is given to hear that a job is cancelled.
    private static let cancelGrace = Duration.seconds(10)

    init(job: Job, exchange: any ProviderExchange, environment: Environment) {
        self.job = job
        self.exchange = exchange
        self.environment = environment
        self.room = GatheringRoom(environment.budget)
        let target = job.plan.upstream
        self.urlPolicy = ResultURLPolicy(
            ownHost: target.host, hosts: target.resultHosts, allowsPrivateNetwork: target.allowsPrivateNetwork)
        self.assembler = JobAssembler(
            plan: job.plan, keepsImages: environment.keeper != nil, createdAt: job.createdAt, makeImageID: { ImageID() }
        )
    }

    func start(from point: StartingPoint = .beginning) {
        self.begin(at: point)
        let session = self.environment.transport.open(self)
        self.session = session
        // The session holds the driver until it closes, so the job need not.
        self.job.onCommand { [weak self] command in
            guard let self else { return }
            session.execute { self.obey(command) }
        }
        session.execute { [self] in
            // Cancelled before it began: nothing may be asked, and so paid, any more.
            guard !self.assembler.isOver else {
                self.isExchangeOver = true
                return self.close()
            }
            session.schedule(OwnTimer.queue, after: self.job.plan.timeouts.queue)
            var actions = ExchangeActions()
            self.exchange.start(into: &actions)
            self.perform(actions)
        }
    }

    private func begin(at point: StartingPoint) {
        switch point {
        case .beginning:
            self.perform(self.assembler.begin(now: self.job.createdAt))
        case .upstreamWorks(let stage, let progress, let kept):
            self.hasSubmitted = true
            self.hasHandle = true
            self.submissions = 1
            self.perform(
                self.assembler.pickUp(stage: stage, progress: progress, kept: kept, now: self.environment.now()))
        }
    }

    // MARK: From the transport

    func received(head: UpstreamResponseHead, call: UpstreamCallID) {
        guard let purpose = self.purposes[call.rawValue] else { return }
        if purpose == .submit, (200..<300).contains(head.status) { self.accepted() }
        if purpose == .cancel { self.job.noteUpstreamCancel((200..<300).contains(head.status) ? .done : .failed) }
        self.feed { exchange, actions in
            exchange.received(
                head: ExchangeResponseHead(status: head.status, headers: head.headers), call: call.rawValue,
                into: &actions)
        }
    }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {
        self.feed { exchange, actions in
            exchange.received(bytes: bytes, call: call.rawValue, into: &actions)
        }
        self.gathered.took(bytes.count, call: call.rawValue, toldEvent: self.toldEvent)
        if let wanted = self.gathered.wanted(beyond: self.room.bytes) { self.makeRoom(wanted, for: call) }
    }

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        guard let purpose = self.purposes.removeValue(forKey: call.rawValue) else { return }
        let error = failure?.gatewayError(purpose: purpose, upstream: self.job.plan.upstream.name)
        if let failure {
            if purpose == .submit {
                failure.requestSent ? self.assembler.submitted() : self.assembler.notSubmitted()
            }
            self.log(
                .debug, "upstream call failed",
                ["reason": "\(failure.reason.rawValue)", "detail": "\(failure.detail)"])
        }
        self.feed { exchange, actions in
            if let error {
                exchange.failed(call: call.rawValue, error: error, into: &actions)
            } else {
                exchange.ended(call: call.rawValue, into: &actions)
            }
        }
        self.gathered.ended(call: call.rawValue)
        self.paused.remove(call.rawValue)
        if self.gathered.isEmpty { self.room.release() }
    }

    func timerFired(_ id: UpstreamTimerID) {
        switch id {
        case OwnTimer.total:
            self.expire("The upstream did not finish within the route's total time.")
        case OwnTimer.queue:
            guard self.job.log.standing.stage == .queued else { return }
            self.expire("The request waited longer than the route's queue time.")
        case OwnTimer.room:
            self.roomAnswered(false)
        case OwnTimer.stage:
            self.perform(self.assembler.flushStage(now: self.environment.now()))
        case OwnTimer.cancel:
            if self.job.upstreamCancel == .pending { self.job.noteUpstreamCancel(.failed) }
            // Pictures that are being stored still end the job; the upstream is left.
            self.finish(nil)
        default:
            self.feed { exchange, actions in exchange.timerFired(id.rawValue, into: &actions) }
        }
    }

    private func feed(_ input: (inout any ProviderExchange, inout ExchangeActions) -> Void) {
        guard !self.isExchangeOver else { return }
        self.toldEvent = false
        self.shared = nil
        var actions = ExchangeActions()
        swap(&actions, &self.spareActions)
        input(&self.exchange, &actions)
        guard !actions.isEmpty else { return swap(&actions, &self.spareActions) }
        // One wake for the burst that one read of the upstream brings.
        let log = self.job.log
        log.coalescingWakes { self.perform(actions) }
        self.shared = nil
        guard actions.count <= Self.maximumSpare else { return }
        actions.removeAll(keepingCapacity: true)
        swap(&actions, &self.spareActions)
    }

    // MARK: Actions of the exchange

    private func perform(_ actions: ExchangeActions) {
        for action in actions {
            guard !self.isExchangeOver else { return }
            switch action {
            case .send(let call, let number): self.send(call, number)
            case .abandon(let number):
                self.purposes[number] = nil
                self.session?.cancel(UpstreamCallID(number))
            case .emit(let event): self.emit(event)
            case .wait(let milliseconds, let timer):
                self.session?.schedule(UpstreamTimerID(timer), after: .milliseconds(milliseconds))
            case .finish(let error): self.finish(error)
            }
        }
    }

    private func send(_ call: ExchangeCall, _ number: Int) {
        if call.purpose == .resultURL {
            do {
                try self.urlPolicy.check(call.url)
            } catch {
                self.log(.warning, "result URL refused", ["reason": "\(error.cause ?? "")"])
                self.feed { exchange, actions in exchange.failed(call: number, error: error, into: &actions) }
                return
            }
        }
        self.purposes[number] = call.purpose
        if call.purpose == .submit, let recorder = self.environment.recorder {
            self.submit(call, number, recorder)
        } else if self.handlesUnderWay > 0, call.purpose != .cancel {
            self.heldCalls.append((call, number))
        } else {
            self.transmit(call, number)
        }
    }

    private func transmit(_ call: ExchangeCall, _ number: Int) {
        if call.purpose == .submit {
            self.hasSubmitted = true
            self.assembler.submitted()
        }
        if call.purpose == .cancel { self.hasSentCancel = true }
        self.session?.send(
            UpstreamCall(
                method: call.method, url: call.url, headers: call.headers, body: call.body,
                timeouts: self.timeouts(call.purpose), connection: self.job.plan.upstream.connection,
                maximumResponseBytes: call.maximumResponseBytes),
            id: UpstreamCallID(number))
    }

    /// Leaves once the store knows of it: whatever breaks afterwards, it is not submitted a second time.
    private func submit(_ call: ExchangeCall, _ number: Int, _ recorder: JobRecorder) {
        guard let session = self.session else { return }
        let imageIndex = self.submissions
        self.submissions += 1
        recorder.submitting(
            upstream: self.job.plan.upstream.name, imageIndex: imageIndex, at: self.environment.now()
        ) { [self] result in
            session.execute {
                guard self.purposes[number] == .submit, !self.isExchangeOver else { return }
                switch result {
                case .success: self.transmit(call, number)
                case .failure(let error):
                    self.purposes[number] = nil
                    self.feed { exchange, actions in exchange.failed(call: number, error: error, into: &actions) }
                }
            }
        }
    }

    private func keep(handle: String) {
        guard let recorder = self.environment.recorder, let session = self.session else { return }
        self.handlesUnderWay += 1
        recorder.handle(handle, imageIndex: max(0, self.submissions - 1)) { [self] result in
            session.execute {
                self.handlesUnderWay -= 1
                switch result {
                case .success: self.hasHandle = true
                case .failure(let error):
                    // The job goes on; after a restart it could not.
                    self.log(.error, "handle not stored", ["code": "\(error.code.rawValue)"])
                }
                guard self.handlesUnderWay == 0 else { return }
                for (call, number) in self.heldCalls where self.purposes[number] == call.purpose {
                    self.transmit(call, number)
                }
                self.heldCalls = []
            }
        }
    }

    private func timeouts(_ purpose: ExchangeCall.Purpose) -> UpstreamTimeouts {
        let limits = self.job.plan.timeouts
        switch purpose {
        case .submit, .events:
            return UpstreamTimeouts(connect: limits.connect, firstByte: limits.firstByte, idle: limits.idle)
        case .status, .result, .resultURL:
            return UpstreamTimeouts(
                connect: limits.connect, firstByte: min(.seconds(60), limits.firstByte),
                idle: min(.seconds(30), limits.idle), total: .seconds(120))
        case .cancel:
            return UpstreamTimeouts(connect: limits.connect, total: Self.cancelGrace)
        }
    }

    private func emit(_ event: UpstreamEvent) {
        var lease: PayloadLease?
        self.toldEvent = true
        switch event {
        case .partialImage(_, _, _, let payload):
            lease = self.lease(payload, isPrecious: false)
            // No room: this preview is dropped, the next or the picture itself supersedes it.
            if lease == nil { return }
        case .image(let image):
            lease = self.lease(image.payload, isPrecious: true)
        case .unknownEvent(let type):
            self.log(.debug, "unknown upstream event skipped", ["type": "\(type)"])
        case .handle(let handle):
            self.keep(handle: handle)
        case .accepted, .status, .textDelta, .imageFailed, .usage, .model:
            break
        }
        if case .unknownEvent = event {} else { self.accepted() }
        var steps: [JobAssembler.Step] = []
        swap(&steps, &self.spareSteps)
        let now = self.environment.now()
        self.assembler.apply(event, payloadLease: lease, now: now, into: &steps)
        self.perform(steps, now: now, leasedBytes: lease?.bytes ?? 0)
        steps.removeAll(keepingCapacity: true)
        swap(&steps, &self.spareSteps)
    }

    /// The upstream has taken the request: its time runs, and a response's status is settled.
    private func accepted() {
        guard !self.isAccepted else { return }
        self.isAccepted = true
        self.session?.schedule(OwnTimer.total, after: self.job.plan.timeouts.total)
        self.job.commitment.open()
    }

    private func expire(_ message: String) {
        guard !self.isExchangeOver else { return }
        self.perform(
            self.assembler.finish(
                GatewayError(.deadlineExceeded, message, billed: .maybe), now: self.environment.now()))
        self.tellUpstream()
    }

    private func finish(_ error: GatewayError?) {
        self.settleUpstreamCancel()
        self.isExchangeOver = true
        self.room.release()
        for call in self.purposes.keys { self.session?.cancel(UpstreamCallID(call)) }
        self.purposes.removeAll()
        self.perform(self.assembler.finish(error, now: self.environment.now()))
        if self.assembler.isOver { self.close() }
    }

    // MARK: Steps of the job

    func perform(_ steps: [JobAssembler.Step]) { self.perform(steps, now: self.environment.now()) }

    /// - Parameter leasedBytes: of the picture that the steps tell of, where that is known.
    private func perform(_ steps: [JobAssembler.Step], now: Timestamp, leasedBytes: Int? = nil) {
        for step in steps {
            switch step {
            case .append(let event, let stage, let progress):
                if case .image(let image) = event, self.job.plan.delivery == .inline, image.payload?.displaced == nil {
                    self.environment.keeper?.expect(image.imageID)
                }
                let entry = self.job.log.append(
                    event, at: now, stage: stage, progress: progress, leasedBytes: leasedBytes)
                if let entry { self.environment.recorder?.record(entry) }
            case .store(let index, let id, let payload, let format):
                self.keep(payload, id: id, format: format, index: index)
            case .flushStage(let delay):
                self.session?.schedule(OwnTimer.stage, after: .milliseconds(delay))
            case .end(let event):
                self.end(event, now: now)
            }
        }
    }

    /// Clients hear of the end once the store has it, so that they hear nothing else after a crash.
    private func end(_ event: JobEvent, now: Timestamp) {
        guard let recorder = self.environment.recorder, let session = self.session else {
            return self.ended(event, now: now)
        }
        recorder.terminal(event, at: now) { [self] event, error in
            session.execute {
                if let error { self.log(.error, "end of the job not stored", ["code": "\(error.code.rawValue)"]) }
                self.ended(event, now: now)
            }
        }
    }

    private func ended(_ event: JobEvent, now: Timestamp) {
        self.job.log.append(event, at: now)
        self.isEnded = true
        self.job.commitment.open()
        self.job.ending.open()
        if self.isExchangeOver { self.close() }
    }

    private func keep(_ payload: ImagePayload, id: ImageID, format: ImageFormat, index: Int) {
        guard let keeper = self.environment.keeper, let session = self.session else { return }
        keeper.keep(payload, id: id, format: format) { [self] result in
            session.execute {
                if case .failure(let error) = result {
                    self.log(
                        .error, "image not stored",
                        ["code": "\(error.code.rawValue)", "cause": "\(error.cause ?? "")"])
                }
                self.perform(self.assembler.stored(index, result: result, now: self.environment.now()))
            }
        }
    }

    // MARK: Cancelling and the end

    private func obey(_ command: Job.Command) {
        switch command {
        case .cancel(let reason): self.cancel(reason)
        case .leave where self.canBeTakenUp: self.leave()
        case .leave: self.cancel(.operator)
        }
    }

    /// The next process finds in the store what it needs to go on.
    private var canBeTakenUp: Bool {
        guard self.environment.recorder != nil else { return false }
        return self.submissions == 0 || self.hasHandle && self.job.plan.upstream.adapter.capabilities.resumable
    }

    /// Stops without a terminal event and without a word to the upstream.
    private func leave() {
        guard !self.assembler.isOver, !self.isClosed else { return }
        self.isClosed = true
        self.isExchangeOver = true
        self.room.release()
        self.job.onCommand(nil)
        self.session?.close()
        self.session = nil
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
        self.session?.schedule(OwnTimer.cancel, after: Self.cancelGrace)
        self.feed { exchange, actions in exchange.cancel(into: &actions) }
    }

    /// The exchange ends: what it could not tell by now it tells no more.
    private func settleUpstreamCancel() {
        guard self.job.upstreamCancel == .pending else { return }
        self.job.noteUpstreamCancel(self.hasSentCancel ? .failed : .unsupported)
    }

    /// Both halves must be over: the exchange, and the job.
    private func close() {
        guard !self.isClosed, self.isEnded else { return }
        self.isClosed = true
        self.isExchangeOver = true
        self.room.release()
        self.job.onCommand(nil)
        self.session?.close()
        self.session = nil
        self.logEnd()
        self.environment.onEnd(self.job)
    }
}
