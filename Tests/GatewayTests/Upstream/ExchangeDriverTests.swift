import Dialects
import Glibc
import HTTPTypes
import ImageGeneration
import Logging
import NIOCore
import Providers
import Storage
import Synchronization
import Testing
import Transport

@testable import Gateway

private enum Timer {
    static let total = -1
    static let queue = -2
    static let stage = -3
    static let cancel = -4
    static let room = -6
}

@Suite struct ExchangeDriverTests {
    @Test func theFirstEventIsThereBeforeTheTransportDoesAnything() throws {
        let drive = try Drive(SamplePlan.plan(), run: false)
        #expect(drive.job.log.standing.stage == .queued)
        #expect(drive.job.log.retained.count == 1)
    }

    @Test func aStreamBecomesAJob() throws {
        let drive = try Drive.openAI()
        #expect(drive.session.calls.map(\.url) == ["https://lab.example/v1/images/generations"])
        #expect(!drive.job.commitment.isOpen)
        drive.session.respond(200)
        #expect(drive.job.commitment.isOpen)
        drive.session.bring(SamplePicture.partial)
        #expect(drive.job.log.standing.stage == .generating)
        drive.session.bring(SamplePicture.completed)
        drive.session.end()
        #expect(drive.terminal == "completed 1")
        #expect(drive.isSettled)
    }

    @Test func aStreamBroughtByteByByteIsTheSame() throws {
        let drive = try Drive.openAI()
        drive.session.respond(200)
        for byte in (SamplePicture.partial + SamplePicture.completed).utf8 {
            drive.session.bring(String(UnicodeScalar(byte)))
        }
        drive.session.end()
        #expect(drive.terminal == "completed 1")
    }

    @Test func anUpstreamThatLingersAfterThePictureIsNotWaitedForLong() throws {
        let drive = try Drive.openAI()
        drive.session.respond(200)
        drive.session.bring(SamplePicture.completed)
        #expect(drive.terminal == "none")
        #expect(drive.session.fire(0))
        #expect(drive.terminal == "completed 1")
        #expect(drive.isSettled)
    }

    struct Failure: Sendable {
        let reason: UpstreamFailure.Reason
        let sent: Bool
        let terminal: String
    }

    @Test(arguments: [
        Failure(reason: .resolve, sent: false, terminal: "error upstream_unreachable no"),
        Failure(reason: .connect, sent: false, terminal: "error upstream_unreachable no"),
        Failure(reason: .tls, sent: false, terminal: "error upstream_unreachable no"),
        Failure(reason: .connectTimeout, sent: false, terminal: "error upstream_timeout no"),
        Failure(reason: .firstByteTimeout, sent: true, terminal: "error upstream_timeout maybe"),
        Failure(reason: .truncated, sent: true, terminal: "error upstream_truncated maybe"),
        Failure(reason: .malformed, sent: true, terminal: "error upstream_protocol maybe"),
        Failure(reason: .tooLarge, sent: true, terminal: "error upstream_too_large maybe"),
        Failure(reason: .other, sent: true, terminal: "error upstream_error maybe"),
    ]) func aCallThatFailsBeforeItsAnswer(_ failure: Failure) throws {
        let drive = try Drive.openAI()
        drive.session.end(UpstreamFailure(failure.reason, requestSent: failure.sent, detail: "words"))
        #expect(drive.terminal == failure.terminal)
        #expect(drive.isSettled)
        #expect(drive.job.commitment.isOpen)
    }

    @Test(arguments: [UpstreamFailure.Reason.truncated, .idleTimeout]) func aStreamThatBreaks(
        _ reason: UpstreamFailure.Reason
    ) throws {
        let drive = try Drive.openAI()
        drive.session.respond(200)
        drive.session.bring(SamplePicture.partial)
        drive.session.end(UpstreamFailure(reason, requestSent: true, detail: ""))
        #expect(
            drive.terminal == (reason == .truncated ? "error upstream_truncated maybe" : "error upstream_stalled maybe")
        )
        #expect(drive.isSettled)
    }

    /// An upstream that answers only at the end works from when it has the request; one that streams says so itself.
    @Test(arguments: [(0, Stage.processing), (2, .queued)])
    func aRequestThatLeavesSetsTheUpstreamToWork(_ previews: Int, _ stage: Stage) throws {
        let drive = try Drive.openAI(partialImages: previews)
        #expect(drive.job.log.standing.stage == .queued)
        drive.session.sending()
        #expect(drive.job.log.standing.stage == stage)
        #expect(!drive.job.commitment.isOpen, "a refusal may still come")
        drive.session.respond(400, headers: [.contentType: "application/json"])
        drive.session.end()
        #expect(drive.terminal.hasPrefix("error upstream_error"))
    }

    @Test func aRefusalKeepsTheStatusOpenUntilItIsWhole() throws {
        let drive = try Drive.openAI()
        drive.session.respond(400, headers: [.contentType: "application/json"])
        #expect(!drive.job.commitment.isOpen)
        drive.session.bring(#"{"error":{"message":"bad size","code":"invalid_value","param":"size"}}"#)
        drive.session.end()
        #expect(drive.terminal == "error invalid_parameter no")
        #expect(drive.isSettled)
    }

    // MARK: Deadlines

    @Test func theTotalTimeRunsFromTheUpstreamsAcceptance() throws {
        let drive = try Drive.openAI()
        #expect(drive.session.timers[UpstreamTimerID(Timer.total)] == nil)
        drive.session.respond(200)
        #expect(drive.session.timers[UpstreamTimerID(Timer.total)] == .seconds(600))
        #expect(drive.session.fire(Timer.total))
        #expect(drive.terminal == "error deadline_exceeded maybe")
        #expect(drive.isSettled)
    }

    @Test func theQueueTimeEndsOnlyWhatStillWaits() throws {
        let waiting = try Drive.openAI()
        #expect(waiting.session.timers[UpstreamTimerID(Timer.queue)] == .seconds(1800))
        waiting.session.fire(Timer.queue)
        #expect(waiting.terminal == "error deadline_exceeded maybe")
        #expect(waiting.isSettled)
        let working = try Drive.openAI()
        working.session.respond(200)
        working.session.fire(Timer.queue)
        #expect(working.terminal == "none")
    }

    // MARK: Cancelling

    @Test func cancellingClosesTheCallOfAnUpstreamThatCannotBeTold() throws {
        let drive = try Drive.openAI()
        drive.session.respond(200)
        drive.job.cancel(.client)
        #expect(drive.terminal == "none")
        drive.session.run()
        #expect(drive.terminal == "cancelled client maybe")
        #expect(drive.session.cancelledCalls == [UpstreamCallID(0)])
        #expect(drive.isSettled)
        drive.job.cancel(.client)
        drive.session.run()
        #expect(drive.ends.value == 1)
    }

    @Test func cancellingBeforeTheStartStopsTheSubmission() throws {
        let drive = try Drive(SamplePlan.plan(), run: false)
        drive.job.cancel(.client)
        drive.session.run()
        #expect(drive.terminal.hasPrefix("cancelled"))
    }

    private static let told = ExchangeCall(method: .delete, url: "https://lab.example/jobs/1", purpose: .cancel)

    @Test func anUpstreamIsToldWithinTheGrace() throws {
        let drive = try Drive.puppet { input in
            switch input {
            case .start: [.send(PuppetAdapter.submit, call: 0)]
            case .cancel: [.abandon(call: 0), .send(Self.told, call: 1)]
            case .ended: [.finish(GatewayError(.cancelled, ""))]
            default: []
            }
        }
        drive.session.respond(200)
        drive.job.cancel(.client)
        drive.session.run()
        #expect(drive.terminal == "cancelled client maybe")
        #expect(!drive.session.isClosed)
        #expect(drive.session.calls.last?.url == "https://lab.example/jobs/1")
        #expect(drive.session.timers[UpstreamTimerID(Timer.cancel)] == .seconds(10))
        drive.session.respond(200, call: 1)
        drive.session.end(call: 1)
        #expect(drive.isSettled)
    }

    @Test func anUpstreamThatDoesNotListenIsLeftAfterTheGrace() throws {
        let drive = try Drive.puppet { input in
            switch input {
            case .start: [.send(PuppetAdapter.submit, call: 0)]
            case .cancel: [.send(Self.told, call: 1)]
            default: []
            }
        }
        drive.job.cancel(.client)
        drive.session.run()
        #expect(drive.session.fire(Timer.cancel))
        #expect(drive.isSettled)
    }

    // MARK: Actions

    @Test func nothingIsDoneAfterTheExchangeHasFinished() throws {
        let drive = try Drive.puppet { input in
            input == .start
                ? [.emit(.sampleImage()), .finish(nil), .emit(.sampleImage()), .send(PuppetAdapter.submit, call: 0)]
                : []
        }
        #expect(drive.terminal == "completed 1")
        #expect(drive.session.calls.isEmpty)
        #expect(drive.isSettled)
    }

    @Test func whatArrivesForAnAbandonedCallIsNotHeard() throws {
        let drive = try Drive.puppet { input in
            switch input {
            case .start: [.send(PuppetAdapter.submit, call: 0), .wait(milliseconds: 5, timer: 3)]
            case .timer(3): [.abandon(call: 0)]
            case .head: [.finish(GatewayError(.internal, "heard"))]
            default: []
            }
        }
        #expect(drive.session.timers[UpstreamTimerID(3)] == .milliseconds(5))
        drive.session.fire(3)
        drive.session.respond(200)
        #expect(drive.terminal == "none")
        #expect(drive.session.cancelledCalls == [UpstreamCallID(0)])
    }

    @Test func aResultURLOnAForeignHostIsNeverCalled() throws {
        let foreign = ExchangeCall(method: .get, url: "https://169.254.169.254/x", purpose: .resultURL)
        let drive = try Drive.puppet { input in
            switch input {
            case .start: [.send(foreign, call: 0)]
            case .failed(let code, let billed): [.finish(GatewayError(code, "no", billed: billed))]
            default: []
            }
        }
        #expect(drive.session.calls.isEmpty)
        #expect(drive.terminal == "error result_url_refused yes")
        #expect(drive.isSettled)
    }

    @Test func aResultURLOnAListedHostIsFetchedWithoutMoreTimeThanNeeded() throws {
        let link = ExchangeCall(
            method: .get, url: "https://cdn.example/x", purpose: .resultURL, maximumResponseBytes: 5)
        let drive = try Drive.puppet(hosts: ["cdn.example"].compactMap(HostPattern.init)) {
            $0 == .start ? [.send(link, call: 0)] : []
        }
        let call = try #require(drive.session.calls.first)
        #expect(call.maximumResponseBytes == 5)
        #expect(call.timeouts.total == .seconds(120))
    }

    @Test func previewsWithoutRoomAreDroppedAndThePictureIsNot() throws {
        let drive = try Drive.puppet(memory: 1) {
            $0 == .start ? [.emit(.samplePreview()), .emit(.sampleImage())] : []
        }
        let events = drive.job.log.retained.map(\.event)
        #expect(!events.contains { if case .partialImage = $0 { true } else { false } })
        #expect(events.contains { if case .image = $0 { true } else { false } })
        #expect(drive.budget.heldBytes > 0)
    }

    @Test func heldNewsOfAStageComeWithTheTimer() throws {
        let drive = try Drive.puppet {
            $0 == .start ? [.emit(.status(UpstreamStatus(stage: .queued, queuePosition: 3)))] : []
        }
        #expect(drive.job.log.standing.last.number == 1)
        #expect(drive.session.fire(Timer.stage))
        #expect(drive.job.log.standing.last.number == 2)
    }

    /// The deadline has passed, the upstream does not listen, and the store takes its time: the job still ends, once.
    @Test(.timeLimit(.minutes(1))) func aPictureBeingStoredOutlastsTheUpstreamsGrace() async throws {
        let store = HeldImageStore()
        let signer = try #require(URLSigner(secrets: [Array(repeating: 7, count: 32)]))
        let keeper = ImageKeeper(
            store: store, signer: signer, publicURL: { "http://gateway.example" }, lifetimeMilliseconds: 1000,
            now: { Timestamp(seconds: 1_700_000_000) })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await keeper.run() }
            let adapter = PuppetAdapter(react: { $0 == .start ? [.emit(.sampleImage())] : [] })
            let drive = try Drive(
                SamplePlan.plan(count: 2, delivery: .url, upstream: SamplePlan.target(adapter)), keeper: keeper)
            #expect(drive.session.fire(Timer.total))
            #expect(drive.session.fire(Timer.cancel))
            #expect(drive.terminal == "none")
            #expect(drive.ends.value == 0)
            store.release()
            while drive.terminal == "none" {
                drive.session.run()
                await Task.yield()
            }
            #expect(drive.terminal == "completed 1")
            #expect(drive.isSettled)
            tasks.cancelAll()
        }
    }

    // MARK: Memory

    private static let long = String(repeating: "a", count: 100_000)

    @Test func anEventIsCountedWhileItComes() throws {
        let drive = try Drive.openAI()
        drive.session.respond(200)
        drive.session.bring("data: " + Self.long)
        #expect(drive.budget.heldBytes >= 356_000)
        drive.session.bring(Self.long + "\n\n" + SamplePicture.completed)
        drive.session.end()
        #expect(drive.terminal == "error upstream_protocol maybe")
        #expect(drive.budget.heldBytes == 0)
    }

    @Test func anUpstreamIsNotReadFromUntilThereIsMemory() throws {
        let drive = try Drive.openAI(memory: 1 << 20)
        var held = drive.budget.lease(900_000)
        drive.session.respond(200)
        drive.session.bring(": " + Self.long)
        #expect(drive.session.pausedCalls == [UpstreamCallID(0)])
        #expect(drive.budget.waiterCount == 1)
        held = nil
        drive.waitForAnswer { drive.session.pausedCalls.isEmpty }
        #expect(drive.session.pausedCalls.isEmpty && drive.session.timers[UpstreamTimerID(Timer.room)] == nil)
        drive.session.bring("\n\n" + SamplePicture.completed)
        drive.session.end()
        #expect(drive.terminal == "completed 1")
        withExtendedLifetime(held) {}
    }

    @Test func anUpstreamThatWaitsTooLongEndsAsOverloaded() throws {
        let drive = try Drive.openAI(memory: 1 << 20)
        let held = drive.budget.lease(900_000)
        drive.session.respond(200)
        drive.session.bring(": " + Self.long)
        #expect(drive.session.fire(Timer.room))
        #expect(drive.terminal == "error overloaded maybe")
        #expect(drive.isSettled && drive.budget.waiterCount == 0)
        #expect(drive.budget.heldBytes == 900_000)
        withExtendedLifetime(held) {}
    }

    @Test func shortEventsAreNotCountedWhileTheyCome() {
        var gathered = GatheredBytes()
        for _ in 0..<100 {
            gathered.took(5000, call: UpstreamCallID(0), toldEvent: true)
            #expect(gathered.wanted(beyond: 0) == nil)
        }
        gathered.took(64 << 10, call: UpstreamCallID(0), toldEvent: false)
        let first = gathered.wanted(beyond: 0)
        #expect(first == 512 << 10)
        #expect(gathered.wanted(beyond: 512 << 10) == nil)
        gathered.expect(3 << 20)
        gathered.took(300 << 10, call: UpstreamCallID(1), toldEvent: false)
        #expect(gathered.wanted(beyond: 512 << 10) == 3 << 20)
        gathered.ended(call: UpstreamCallID(0))
        gathered.ended(call: UpstreamCallID(1))
        #expect(gathered.isEmpty && gathered.wanted(beyond: 0) == nil)
    }

    // MARK: Nothing is left behind

    @Test func aSettledJobHoldsNeitherDriverNorPayload() throws {
        weak var job: Job?
        weak var session: ScriptedSession?
        let budget: PayloadBudget
        do {
            let drive = try Drive.openAI()
            drive.session.respond(200)
            drive.session.bring(SamplePicture.partial + SamplePicture.completed)
            drive.session.end()
            #expect(drive.isSettled)
            (job, session, budget) = (drive.job, drive.session, drive.budget)
            #expect(budget.heldBytes > 0)
        }
        #expect(job == nil)
        #expect(session == nil)
        #expect(budget.heldBytes == 0)
    }

    @Test func soDoesACancelledOne() throws {
        weak var job: Job?
        weak var session: ScriptedSession?
        do {
            let drive = try Drive.openAI()
            drive.session.respond(200)
            drive.session.bring(SamplePicture.partial)
            drive.job.cancel(.disconnect)
            drive.session.run()
            (job, session) = (drive.job, drive.session)
        }
        #expect(job == nil)
        #expect(session == nil)
    }
}
