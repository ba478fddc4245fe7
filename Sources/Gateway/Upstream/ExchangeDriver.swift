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
/// Proof of `@unchecked Sendable`: `init` and `start` touch the stored `var`s on the thread that makes the driver, and only before
/// anybody else can: what `start` performs of the beginning asks nobody for an answer, the session it opens calls nothing until
/// something is asked of it, and the two ways to ask, commands and the session's queue, are opened last. From then on they are
/// touched on the session's thread alone: its callbacks come there, and whatever comes from another thread (the beginning, commands,
/// a change of the place at the upstream, the answers of memory, image store and job store) goes there through that queue, whose
/// lock orders it behind `start`. What other threads read of the driver, `job` and `environment`, never changes, and the last
/// release touches nothing that another thread could reach.
final class ExchangeDriver: UpstreamReceiver, @unchecked Sendable {
    struct Environment: Sendable {
        var transport: any UpstreamTransport
        var budget: PayloadBudget
        var keeper: ImageKeeper?
        /// Nil where nothing outlives the process.
        var recorder: JobRecorder?
        var now: @Sendable () -> Timestamp
        var logger: Logger
        var room = ActionRoom()
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
    /// The attempt that is being made, or waited for.
    var attempt: Attempt
    private let isRecorded: Bool
    var exchange: any ProviderExchange
    var assembler: JobAssembler
    var session: (any UpstreamSession)?
    private(set) var purposes = OpenCalls()
    /// No exchange goes on: none has begun yet, the next is waited for, or the last is over.
    var isExchangeOver = true
    /// The terminal event is in the log.
    var isEnded = false
    var isClosed = false
    var isAccepted = false
    private var steps: [JobAssembler.Step] = []
    var leases: PayloadLeases
    var lines: JobLines
    /// An upstream may know of the job, so a cancel has somebody to tell.
    var hasSubmitted = false
    /// Of any attempt.
    private var wasAsked = false
    var hasSentCancel = false
    /// The upstream's name for the job is on its way into the store; until it is there the upstream is not asked about it.
    private var handlesUnderWay = 0
    var hasHandle = false
    private var heldCalls: [(call: ExchangeCall, number: Int)] = []

    /// Timer numbers of the driver's own, apart from any an exchange uses.
    enum OwnTimer {
        static let total = UpstreamTimerID(-1)
        static let queue = UpstreamTimerID(-2)
        static let stage = UpstreamTimerID(-3)
        static let cancel = UpstreamTimerID(-4)
        static let attempt = UpstreamTimerID(-5)
        static let room = UpstreamTimerID(-6)
    }

    /// How long an upstream is given to hear that a job is cancelled.
    static let cancelGrace = Duration.seconds(10)

    init(job: Job, exchange: any ProviderExchange, environment: Environment) {
        self.job = job
        self.exchange = exchange
        self.environment = environment
        self.attempt = Attempt(job.plan)
        self.isRecorded = environment.recorder != nil
        self.leases = PayloadLeases(budget: environment.budget)
        self.lines = JobLines(job: job, logger: environment.logger, upstream: job.plan.upstream.name)
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
            guard !self.assembler.isOver else { return self.close() }
            session.schedule(OwnTimer.queue, after: self.job.plan.timeouts.queue)
            self.awaitTurn()
        }
    }

    /// The upstream may be asked now.
    func beginExchange() {
        self.isExchangeOver = false
        self.feed { exchange, actions in exchange.start(into: &actions) }
    }

    private func begin(at point: StartingPoint) {
        switch point {
        case .beginning:
            self.perform(self.assembler.begin(now: self.job.createdAt))
        case .upstreamWorks(let stage, let progress, let kept):
            self.hasSubmitted = true
            self.wasAsked = true
            self.hasHandle = true
            self.attempt.submissions = 1
            self.perform(
                self.assembler.pickUp(stage: stage, progress: progress, kept: kept, now: self.environment.now()))
        }
    }

    // MARK: From the transport

    func received(head: UpstreamResponseHead, call: UpstreamCallID) {
        guard let number = self.attempt.number(call), let purpose = self.purposes[number] else { return }
        if purpose == .submit, (200..<300).contains(head.status) { self.accepted() }
        if purpose == .cancel { self.job.noteUpstreamCancel((200..<300).contains(head.status) ? .done : .failed) }
        self.feed { exchange, actions in
            exchange.received(
                head: ExchangeResponseHead(status: head.status, headers: head.headers), call: number, into: &actions)
        }
    }

    func received(bytes: UnsafeRawBufferPointer, call: UpstreamCallID) {
        guard let number = self.attempt.number(call) else { return }
        self.feed { exchange, actions in exchange.received(bytes: bytes, call: number, into: &actions) }
        // The call may have been given up meanwhile, or the whole attempt.
        guard self.attempt.number(call) == number, self.purposes[number] != nil else { return }
        if let wanted = self.leases.took(bytes.count, call: call) { self.makeRoom(wanted, for: call) }
    }

    func ended(call: UpstreamCallID, failure: UpstreamFailure?) {
        guard let number = self.attempt.number(call), let purpose = self.purposes.remove(number) else { return }
        var error = failure?.gatewayError(purpose: purpose, upstream: self.attempt.target.name)
        // Questions before a submission cost nothing.
        if !self.hasSubmitted { error?.billed = .no }
        if let failure {
            if purpose == .submit, !failure.requestSent { self.notSubmitted() }
            self.lines.log(
                .debug, "upstream call failed",
                ["reason": "\(failure.reason.rawValue)", "detail": "\(failure.detail)"])
        }
        self.feed { [error] exchange, actions in
            if let error {
                exchange.failed(call: number, error: error, into: &actions)
            } else {
                exchange.ended(call: number, into: &actions)
            }
        }
        self.leases.ended(call)
    }

    func timerFired(_ id: UpstreamTimerID) {
        switch id {
        case OwnTimer.total:
            self.expire("The upstream did not finish within the route's total time.")
        case OwnTimer.queue:
            guard self.job.log.standing.stage == .queued || self.attempt.phase != .running else { return }
            self.expire("The request waited longer than the route's queue time.")
        case OwnTimer.room:
            self.roomAnswered(false)
        case OwnTimer.stage:
            self.perform(self.assembler.flushStage(now: self.environment.now()))
        case OwnTimer.cancel:
            if self.job.upstreamCancel == .pending { self.job.noteUpstreamCancel(.failed) }
            // Pictures that are being stored still end the job; the upstream is left.
            self.finish(nil)
        case OwnTimer.attempt:
            self.attemptDue()
        default:
            guard let timer = self.attempt.number(id) else { return }
            self.feed { exchange, actions in exchange.timerFired(timer, into: &actions) }
        }
    }

    func feed(_ input: (inout any ProviderExchange, inout ExchangeActions) -> Void) {
        guard !self.isExchangeOver else { return }
        self.leases.beginRead()
        var actions = self.environment.room.take()
        input(&self.exchange, &actions)
        if !actions.isEmpty {
            // One wake for the burst that one read of the upstream brings.
            self.job.log.coalescingWakes { self.perform(&actions) }
            self.leases.endRead()
        }
        self.environment.room.giveBack(&actions)
    }

    // MARK: Actions of the exchange

    /// Takes the actions out one by one, for copying one costs more than performing it.
    private func perform(_ actions: inout ExchangeActions) {
        if actions.count > 1 { actions.reverse() }
        let now = self.environment.now()
        while let action = actions.popLast() {
            guard !self.isExchangeOver else { return }
            switch action {
            case .send(let call, let number): self.send(call, number)
            case .abandon(let number):
                self.purposes.remove(number)
                self.session?.cancel(self.attempt.callID(number))
                self.leases.ended(self.attempt.callID(number))
            case .emit(let event): self.emit(event, now: now)
            case .wait(let milliseconds, let timer):
                self.session?.schedule(self.attempt.timerID(timer), after: .milliseconds(milliseconds))
            case .finish(let error): self.finish(error)
            }
        }
    }

    private func send(_ call: ExchangeCall, _ number: Int) {
        self.purposes.open(number, call)
        if call.purpose == .submit, let recorder = self.environment.recorder {
            self.submit(call, number, recorder)
        } else if self.handlesUnderWay > 0, call.purpose != .cancel {
            self.heldCalls.append((call, number))
        } else {
            self.transmit(call, number)
        }
    }

    private func transmit(_ call: ExchangeCall, _ number: Int) {
        let usual = self.attempt.target.connection
        let connection: UpstreamConnectionPolicy
        do {
            connection =
                call.purpose == .resultURL
                ? try self.attempt.urlPolicy.connection(for: call.url, usual: usual) : usual
        } catch {
            self.purposes.remove(number)
            self.lines.log(.warning, "result URL refused", ["reason": "\(error.cause ?? "")"])
            return self.feed { exchange, actions in exchange.failed(call: number, error: error, into: &actions) }
        }
        if call.purpose == .submit {
            self.hasSubmitted = true
            self.wasAsked = true
            self.attempt.sent += 1
            self.assembler.submitted()
        }
        if call.purpose == .cancel { self.hasSentCancel = true }
        self.session?.send(
            UpstreamCall(
                method: call.method, url: call.url, headers: call.headers, body: call.body,
                timeouts: self.timeouts(call.purpose), connection: connection,
                maximumResponseBytes: call.maximumResponseBytes),
            id: self.attempt.callID(number))
    }

    /// Leaves once the store knows of it: whatever breaks afterwards, it is not submitted a second time.
    private func submit(_ call: ExchangeCall, _ number: Int, _ recorder: JobRecorder) {
        guard let session = self.session else { return }
        let submission = Submission(
            upstream: self.attempt.target.name, attempt: self.attempt.number, imageIndex: self.attempt.submissions,
            at: self.environment.now())
        self.attempt.submissions += 1
        recorder.submitting(submission) { [self] result in
            session.execute {
                guard self.attempt.number == submission.attempt, self.purposes[number] == .submit, !self.isExchangeOver
                else { return }
                switch result {
                case .success: self.transmit(call, number)
                case .failure(let error):
                    self.purposes.remove(number)
                    self.feed { exchange, actions in exchange.failed(call: number, error: error, into: &actions) }
                }
            }
        }
    }

    private func keep(handle: String) {
        guard let recorder = self.environment.recorder, let session = self.session else { return }
        self.handlesUnderWay += 1
        recorder.handle(
            handle, attempt: self.attempt.number, imageIndex: max(0, self.attempt.submissions - 1)
        ) { [self] result in
            session.execute {
                self.handlesUnderWay -= 1
                switch result {
                case .success: self.hasHandle = true
                case .failure(let error):
                    // The job goes on; after a restart it could not.
                    self.lines.log(.error, "handle not stored", ["code": "\(error.code.rawValue)"])
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
        let limits = self.attempt.timeouts
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

    private func emit(_ event: UpstreamEvent, now: Timestamp) {
        var event = event
        var lease: PayloadLease?
        self.leases.tellsEvent()
        switch event {
        case .partialImage(let index, let number, let attributes, let payload):
            lease = self.leases.preview(payload)
            // No room: this preview is dropped, the next or the picture itself supersedes it.
            guard let lease else { return }
            let payload = ImagePayload(canonical: payload, lease: lease)
            if let shown = self.assembler.nextPreview(index, number, attributes, payload, now: now) {
                self.job.log.append(
                    .partialImage(shown.image), at: now, progress: shown.progress, leasedBytes: lease.bytes)
                return
            }
        case .image(var image):
            lease = self.leases.finished(&image.payload)
            event = .image(image)
        case .unknownEvent(let type):
            self.lines.log(.debug, "unknown upstream event skipped", ["type": "\(type)"])
        case .handle(let handle):
            self.keep(handle: handle)
        case .accepted, .status, .textDelta, .imageFailed, .usage, .model:
            break
        }
        if case .unknownEvent = event {} else { self.accepted() }
        var steps: [JobAssembler.Step] = []
        swap(&steps, &self.steps)
        self.assembler.apply(event, payloadLease: lease, now: now, into: &steps)
        self.perform(&steps, now: now, leasedBytes: lease?.bytes ?? 0)
        swap(&steps, &self.steps)
    }

    /// The upstream has taken the request: its time runs, and a response's status is settled.
    private func accepted() {
        guard !self.isAccepted else { return }
        self.isAccepted = true
        self.attempt.permit?.accepted()
        self.session?.schedule(OwnTimer.total, after: self.attempt.timeouts.total)
        self.job.commitment.open()
    }

    private func expire(_ message: String) {
        // Pictures that are being stored are not late.
        guard !self.isExchangeOver || self.attempt.phase != .running else { return }
        let billed: GatewayError.Billed = self.hasSubmitted ? .maybe : .no
        self.perform(
            self.assembler.finish(
                GatewayError(.deadlineExceeded, message, billed: billed), now: self.environment.now()))
        self.tellUpstream()
    }

    private func finish(_ error: GatewayError?) {
        self.settleUpstreamCancel()
        self.isExchangeOver = true
        self.leases.endAll()
        for call in self.purposes.removeAll() { self.session?.cancel(self.attempt.callID(call)) }
        self.heldCalls = []
        if let error {
            if self.goesOn(after: error) { return }
        } else {
            self.attempt.permit?.end(self.assembler.isOver ? .left : .succeeded)
        }
        self.finishJob(error)
    }

    /// No further attempt is made.
    func finishJob(_ error: GatewayError?) {
        self.attempt.phase = .running
        self.perform(self.assembler.finish(error, now: self.environment.now()))
        if self.assembler.isOver { self.close() }
    }

    // MARK: Steps of the job

    func perform(_ steps: [JobAssembler.Step]) {
        var steps = steps
        self.perform(&steps, now: self.environment.now())
    }

    /// Leaves `steps` empty.
    /// - Parameter leasedBytes: of the picture that the steps tell of, where that is known.
    private func perform(_ steps: inout [JobAssembler.Step], now: Timestamp, leasedBytes: Int? = nil) {
        if steps.count > 1 { steps.reverse() }
        while let step = steps.popLast() {
            switch step {
            case .append(let event, let stage, let progress):
                if case .image(let image) = event, self.job.plan.delivery == .inline, image.payload?.displaced == nil {
                    self.environment.keeper?.expect(image.imageID)
                }
                let entry = self.job.log.append(
                    event, at: now, stage: stage, progress: progress, leasedBytes: leasedBytes)
                if let entry, self.isRecorded { self.environment.recorder?.record(entry) }
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
        recorder.terminal(event, at: now, used: self.assembler.usage) { [self] event, error in
            session.execute {
                if let error { self.lines.log(.error, "end of the job not stored", ["code": "\(error.code.rawValue)"]) }
                self.ended(event, now: now)
            }
        }
    }

    private func ended(_ event: JobEvent, now: Timestamp) {
        self.job.settle(event, wasAsked: self.wasAsked)
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
                    self.lines.log(
                        .error, "image not stored",
                        ["code": "\(error.code.rawValue)", "cause": "\(error.cause ?? "")"])
                }
                self.perform(self.assembler.stored(index, result: result, now: self.environment.now()))
            }
        }
    }
}
