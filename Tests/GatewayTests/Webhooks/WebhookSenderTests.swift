import HTTPTypes
import ImageGeneration
import Logging
import NIOCore
import SQLiteStorage
import ServiceLifecycle
import Storage
import Synchronization
import Testing
import Transport

@testable import Gateway

/// The sender against a real outbox; receivers are the test.
@Suite(.timeLimit(.minutes(1))) struct WebhookSenderTests {
    private static let secret = Secret("0123456789abcdef")

    private struct Bench: Sendable {
        let jobs: StoredJobs
        let transport = ScriptedTransport()
        let clock = SteppedClock()
        let signal = WebhookSignal()
        let passed = Mutexed()
        let group: ServiceGroup

        /// Milliseconds since the beginning.
        final class Mutexed: Sendable {
            let milliseconds = Mutex<Int64>(0)
        }

        init(_ jobs: StoredJobs) {
            self.jobs = jobs
            let passed = self.passed
            let logger = Logger(label: "webhooks") { _ in SwiftLogNoOpLogHandler() }
            let targets = ["app", "slow"].map {
                RouteTable.Webhook(name: $0, url: "https://\($0).example/h", secrets: [secret], unavailableReason: nil)
            }
            let mute = RouteTable.Webhook(
                name: "mute", url: "https://m.example", secrets: [], unavailableReason: "unset")
            let sender = WebhookSender(
                WebhookSender.Environment(
                    outbox: jobs.store, transport: self.transport, targets: { targets + [mute] },
                    body: { job in ByteBuffer(string: #"{"job": "\#(job.text)"}"#) },
                    now: { StoredJobs.now.advanced(byMilliseconds: passed.milliseconds.withLock { $0 }) },
                    clock: self.clock, jitter: { 1 }, logger: logger), signal: self.signal)
            self.group = ServiceGroup(configuration: .init(services: [sender], logger: logger))
        }

        /// Time passes for retries; the sender looks at its outbox.
        func pass(_ milliseconds: Int64) {
            self.passed.milliseconds.withLock { $0 += milliseconds }
            self.signal.signal()
        }

        /// An ended job of which `endpoint` hears.
        func owe(_ endpoint: String) async throws -> JobID {
            let job = try await self.jobs.accept(notify: endpoint)
            try await self.jobs.end(job)
            self.signal.signal()
            return job
        }

        /// The n-th call, once it is made.
        func call(_ number: Int) async throws -> (session: ScriptedSession, call: UpstreamCall) {
            while true {
                try Task.checkCancellation()
                let sessions = self.transport.sessions
                if number < sessions.count, let call = sessions[number].calls.first { return (sessions[number], call) }
                await Task.yield()
            }
        }

        func answer(_ number: Int, _ status: Int, _ headers: HTTPFields = [:]) async throws {
            let (session, _) = try await self.call(number)
            session.respond(status, headers: headers)
            session.bring("thank you")
            session.end()
        }

        /// The job's delivery, once it is as wanted.
        func delivery(of job: JobID, until isWanted: (WebhookDelivery) -> Bool) async throws -> WebhookDelivery {
            while true {
                try Task.checkCancellation()
                let found = try await self.jobs.store.deliveries(DeliveryQuery(job: job))
                if let delivery = found.first, isWanted(delivery) { return delivery }
            }
        }
    }

    private static func run(_ body: @Sendable (Bench) async throws -> Void) async throws {
        try await StoredJobs.with { jobs in
            let bench = Bench(jobs)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await bench.group.run() }
                do {
                    try await body(bench)
                } catch {
                    tasks.cancelAll()
                    throw error
                }
                tasks.cancelAll()
                try? await tasks.waitForAll()
            }
        }
    }

    private static func id(_ call: UpstreamCall) -> String? {
        HTTPField.Name("webhook-id").flatMap { call.headers[$0] }
    }

    @Test func aMessageIsDelivered() async throws {
        try await Self.run { bench in
            let job = try await bench.owe("app")
            let (session, call) = try await bench.call(0)
            #expect(
                call.url == "https://app.example/h" && call.body == [ByteBuffer(string: #"{"job": "\#(job.text)"}"#)])
            try await bench.answer(0, 204)
            let delivery = try await bench.delivery(of: job) { $0.state == .delivered }
            #expect(delivery.message.id == Self.id(call))
            #expect(delivery.attempts == [WebhookAttempt(number: 1, at: StoredJobs.now, status: 204)])
            #expect(session.isClosed)
        }
    }

    @Test func aRetryHasTheSameID() async throws {
        try await Self.run { bench in
            let job = try await bench.owe("app")
            try await bench.answer(0, 500)
            let failed = try await bench.delivery(of: job) { $0.attempts.count == 1 }
            #expect(failed.state == .pending && failed.message.dueAt == StoredJobs.now.advanced(byMilliseconds: 5000))
            bench.pass(4999)
            let other = try await bench.owe("app")
            try await bench.answer(1, 200)
            _ = try await bench.delivery(of: other) { $0.state == .delivered }
            #expect(bench.transport.sessions.count == 2)
            bench.pass(1)
            // The connection breaks; whether the message came through nobody knows.
            try await bench.call(2).session.end(UpstreamFailure(.truncated, requestSent: true, detail: ""))
            _ = try await bench.delivery(of: job) { $0.attempts.count == 2 }
            bench.pass(60_000)
            try await bench.answer(3, 201)
            let done = try await bench.delivery(of: job) { $0.state == .delivered }
            #expect(done.attempts.map(\.status) == [500, nil, 201])
            #expect(done.attempts.map(\.error) == [nil, "truncated", nil])
            let ids = try await [bench.call(0), bench.call(2), bench.call(3)].map { Self.id($0.call) }
            #expect(Set(ids) == [done.message.id])
        }
    }

    @Test func theReceiverDecidesAboutTheRest() async throws {
        try await Self.run { bench in
            let gone = try await bench.owe("app")
            try await bench.answer(0, 410)
            let refused = try await bench.delivery(of: gone) { $0.state == .givenUp }
            #expect(refused.attempts.map(\.status) == [410])
            let busy = try await bench.owe("app")
            try await bench.answer(1, 429, [.retryAfter: "90"])
            let delivery = try await bench.delivery(of: busy) { $0.attempts.count == 1 }
            #expect(delivery.message.dueAt == StoredJobs.now.advanced(byMilliseconds: 90_000))
            // A head counts, whatever becomes of the body behind it.
            let taken = try await bench.owe("app")
            let (session, _) = try await bench.call(2)
            session.respond(200, headers: [:])
            session.end(UpstreamFailure(.tooLarge, requestSent: true, detail: ""))
            _ = try await bench.delivery(of: taken) { $0.state == .delivered }
        }
    }

    @Test func aSlowTargetHoldsUpItselfAlone() async throws {
        try await Self.run { bench in
            for _ in 0..<20 { _ = try await bench.owe("slow") }
            _ = try await bench.call(WebhookSender.concurrency - 1)
            let quick = try await bench.owe("app")
            let (_, call) = try await bench.call(WebhookSender.concurrency)
            #expect(call.url == "https://app.example/h")
            try await bench.answer(WebhookSender.concurrency, 200)
            _ = try await bench.delivery(of: quick) { $0.state == .delivered }
            #expect(bench.transport.sessions.count == WebhookSender.concurrency + 1)
            // Each that ends makes room for the next.
            try await bench.answer(0, 200)
            #expect(try await bench.call(WebhookSender.concurrency + 1).call.url == "https://slow.example/h")
        }
    }

    @Test func whatCannotBeSentIsTriedAgainLater() async throws {
        try await Self.run { bench in
            for (endpoint, word) in [("mute", "secret_unset"), ("renamed", "not_configured")] {
                let job = try await bench.owe(endpoint)
                let delivery = try await bench.delivery(of: job) { $0.attempts.count == 1 }
                #expect(delivery.state == .pending && delivery.attempts.map(\.error) == [word])
            }
            #expect(bench.transport.sessions.isEmpty)
        }
    }

    @Test func aStopWaitsBrieflyAndLeavesTheRest() async throws {
        try await Self.run { bench in
            let (taken, left) = (try await bench.owe("app"), try await bench.owe("slow"))
            for number in 0..<2 { _ = try await bench.call(number) }
            await bench.group.triggerGracefulShutdown()
            let sessions = bench.transport.sessions
            for session in sessions where session.calls.first?.url.contains("app") == true {
                session.respond(200, headers: [:])
                session.end()
            }
            _ = try await bench.delivery(of: taken) { $0.state == .delivered }
            // The grace may not have begun yet: time passes until it is over.
            let delivery = try await bench.delivery(of: left) { delivery in
                bench.clock.advance(by: .seconds(5))
                return delivery.attempts.count == 1
            }
            #expect(delivery.state == .pending && delivery.attempts.map(\.error) == ["interrupted"])
            #expect(delivery.message.dueAt == StoredJobs.now)
            #expect(sessions.allSatisfy { $0.isClosed })
        }
    }
}
