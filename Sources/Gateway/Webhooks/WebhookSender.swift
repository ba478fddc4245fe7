import ImageGeneration
import Logging
import NIOCore
import ServiceLifecycle
import Storage
import Synchronization
import Transport

/// Says that something may be due. Signals that nobody has heard yet are one.
struct WebhookSignal: Sendable {
    let signals: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (self.signals, self.continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func signal() { self.continuation.yield() }
}

/// Delivers what the outbox owes: at least once, each message until it is taken or given up. A target that is slow or gone holds
/// up its own messages alone.
final class WebhookSender: Service {
    struct Environment: Sendable {
        var outbox: any WebhookOutbox
        var transport: any UpstreamTransport
        /// As configured now.
        var targets: @Sendable () -> [RouteTable.Webhook]
        /// The message about a job; nil when the job is not known or not over.
        var body: @Sendable (JobID) async throws(GatewayError) -> ByteBuffer?
        var now: @Sendable () -> Timestamp
        var clock: any Clock<Duration>
        /// From ``WebhookSchedule/jitter``.
        var jitter: @Sendable () -> Double = { .random(in: WebhookSchedule.jitter) }
        var logger: Logger
    }

    private struct State {
        /// Attempts under way, by endpoint.
        var underWay: [String: Int] = [:]
        var isStopping = false
        var isGraceOver = false
    }

    private let environment: Environment
    private let state = Mutex(State())
    private let signal: WebhookSignal

    /// Attempts at once to one target.
    static let concurrency = 8
    /// Longer than an attempt takes: whose sender died is sent again after it.
    static let leaseMilliseconds: Int64 = 25_000
    /// How often the outbox is looked at unasked: for retries, and for what other processes put there.
    private static let interval = Duration.seconds(1)
    /// How long attempts may go on after a stop was asked.
    private static let grace = Duration.seconds(5)

    /// - Parameter signal: given when something new is owed; this sender's alone.
    init(_ environment: Environment, signal: WebhookSignal) {
        self.environment = environment
        self.signal = signal
    }

    func run() async {
        await withGracefulShutdownHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.tick() }
                self.signal.signal()
                var graceRuns = false
                for await _ in self.signal.signals {
                    await self.sendDue(&group)
                    guard self.state.withLock({ $0.isStopping }) else { continue }
                    if self.state.withLock({ $0.underWay.isEmpty || $0.isGraceOver }) { break }
                    if !graceRuns { group.addTask { await self.waitOutGrace() } }
                    graceRuns = true
                }
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.state.withLock { $0.isStopping = true }
            self.signal.signal()
        }
    }

    private func tick() async {
        while (try? await self.environment.clock.sleep(for: Self.interval)) != nil { self.signal.signal() }
    }

    private func waitOutGrace() async {
        try? await self.environment.clock.sleep(for: Self.grace)
        self.state.withLock { $0.isGraceOver = true }
        self.signal.signal()
    }

    // MARK: Messages

    private func sendDue(_ group: inout DiscardingTaskGroup) async {
        do throws(GatewayError) {
            let now = self.environment.now()
            for owed in try await self.environment.outbox.owed() where owed.nextDue <= now {
                let room = Self.concurrency - self.state.withLock { $0.underWay[owed.endpoint] ?? 0 }
                guard room > 0 else { continue }
                let claimed = try await self.environment.outbox.claimDue(
                    to: owed.endpoint, at: now, leaseMilliseconds: Self.leaseMilliseconds, limit: room)
                guard !claimed.isEmpty else { continue }
                self.state.withLock { $0.underWay[owed.endpoint, default: 0] += claimed.count }
                for message in claimed { group.addTask { await self.deliver(message) } }
            }
        } catch {
            // The store itself tells its operator; the next look is a second away.
            self.environment.logger.debug("webhooks not looked at", metadata: ["code": "\(error.code.rawValue)"])
        }
    }

    private func deliver(_ claimed: ClaimedWebhook) async {
        let began = self.environment.now()
        let outcome = await self.attempt(claimed.message, at: began)
        let ended = self.environment.now()
        let fate = WebhookSchedule.fate(
            after: outcome, attempt: claimed.attempt, now: ended, jitter: self.environment.jitter())
        let attempt = WebhookAttempt(
            number: claimed.attempt, at: began,
            durationMilliseconds: Int(max(0, ended.milliseconds - began.milliseconds)), status: outcome.status,
            error: outcome.errorWord)
        self.log(claimed, outcome, fate)
        do throws(GatewayError) {
            _ = try await self.environment.outbox.record(attempt, of: claimed.message.id, fate: fate)
        } catch {
            self.environment.logger.error(
                "delivery not noted: the message will be sent again",
                metadata: ["webhook_id": "\(claimed.message.id)", "code": "\(error.code.rawValue)"])
        }
        self.state.withLock { state in
            let rest = (state.underWay[claimed.message.endpoint] ?? 1) - 1
            state.underWay[claimed.message.endpoint] = rest > 0 ? rest : nil
        }
        self.signal.signal()
    }

    private func attempt(_ message: WebhookMessage, at now: Timestamp) async -> WebhookOutcome {
        guard let target = self.environment.targets().first(where: { $0.name == message.endpoint }) else {
            return .failed(.notConfigured)
        }
        guard let signer = WebhookSigner(secrets: target.secrets) else { return .failed(.secretUnset) }
        guard let body = try? await self.environment.body(message.job) else { return .failed(.jobUnreadable) }
        return await WebhookCall.perform(
            WebhookPayload.call(message.id, body, to: target.url, signer: signer, at: now),
            over: self.environment.transport)
    }

    private func log(_ claimed: ClaimedWebhook, _ outcome: WebhookOutcome, _ fate: WebhookFate) {
        var metadata: Logger.Metadata = [
            "webhook": "\(claimed.message.endpoint)", "webhook_id": "\(claimed.message.id)",
            "job_id": "\(claimed.message.job.text)", "attempt": "\(claimed.attempt)",
        ]
        if let status = outcome.status { metadata["status"] = "\(status)" }
        if let word = outcome.errorWord { metadata["error"] = "\(word)" }
        switch fate {
        case .delivered: self.environment.logger.info("webhook delivered", metadata: metadata)
        case .retry(let time):
            metadata["next"] = "\(time.rfc3339)"
            self.environment.logger.warning("webhook not delivered", metadata: metadata)
        case .givenUp: self.environment.logger.error("webhook given up", metadata: metadata)
        }
    }
}

extension WebhookSender {
    convenience init(
        _ options: GatewayServer.Options, outbox: any WebhookOutbox, signal: WebhookSignal, supervisor: JobSupervisor,
        tables: TableHolder, _ logger: Logger
    ) {
        self.init(
            Environment(
                outbox: outbox, transport: options.transport, targets: { tables.current.table.webhooks },
                body: { (job: JobID) async throws(GatewayError) -> ByteBuffer? in
                    let snapshot = try await supervisor.finalSnapshot(of: job)
                    return snapshot.map { WebhookPayload.body($0, publicURL: tables.current.publicURL) }
                }, now: options.now, clock: options.clock, logger: logger), signal: signal)
    }
}
