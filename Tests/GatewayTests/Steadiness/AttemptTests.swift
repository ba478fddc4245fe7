import ImageGeneration
import NIOCore
import Providers
import Storage
import Testing
import Transport

@testable import Gateway

/// What becomes of a job whose upstream fails before anything was paid or shown.
@Suite struct AttemptTests {
    private static let stride = 1 << 24

    /// A job that may be asked again, at an upstream whose answers the test gives by status.
    private func drive(
        condition: UpstreamCondition = UpstreamCondition(name: "lab"), queue: Duration = .seconds(1800)
    ) throws -> Drive {
        var target = SamplePlan.target(PuppetAdapter(react: Self.react))
        target.condition = condition
        let timeouts = RouteTable.Timeouts(
            connect: .seconds(5), firstByte: .seconds(120), idle: .seconds(90), total: .seconds(600), queue: queue)
        var plan = SamplePlan.plan(upstream: target, timeouts: timeouts)
        guard case .entered(let permit) = condition.enter() else { throw GatewayError(.overloaded, "") }
        plan.permit = permit
        return try Drive(plan)
    }

    private static let react: @Sendable (PuppetAdapter.Input) -> ExchangeActions = { input in
        switch input {
        case .start: [.send(PuppetAdapter.submit, call: 0)]
        case .head(429):
            [.finish(GatewayError(.upstreamRateLimited, "", retryAfterMilliseconds: 3000, upstreamStatus: 429))]
        case .head(500): [.finish(GatewayError(.upstreamError, "", billed: .maybe, upstreamStatus: 500))]
        case .head(503): [.finish(GatewayError(.upstreamError, "", upstreamStatus: 503))]
        case .head(202): []
        case .head(400): [.finish(GatewayError(.refused, "", upstreamStatus: 400))]
        case .head(206):
            [
                .emit(
                    .partialImage(
                        imageIndex: 0, partialImageIndex: 0, attributes: .init(), payload: SamplePicture.buffer)),
                .finish(GatewayError(.upstreamRateLimited, "", upstreamStatus: 429)),
            ]
        case .failed(let code, let billed): [.finish(GatewayError(code, "", billed: billed))]
        case .head, .bytes, .ended, .timer, .cancel: [.finish(nil)]
        }
    }

    private func stages(_ drive: Drive) -> [StageChange] {
        drive.job.log.retained.compactMap { if case .stage(let change) = $0.event { change } else { nil } }
    }

    @Test func aLimitIsWaitedOutAndTold() throws {
        let uptime = ManualUptime()
        let drive = try self.drive(
            condition: UpstreamCondition(name: "lab", uptime: { uptime.now }))
        drive.session.respond(429)
        #expect(drive.terminal == "none")
        let told = try #require(self.stages(drive).last)
        #expect(told.reason == "rate_limited")
        #expect(told.attempt == 2)
        #expect((told.retryAt?.milliseconds ?? 0) >= drive.job.createdAt.milliseconds + 3000)
        #expect(drive.session.calls.count == 1, "nothing is asked before")
        uptime.advance(3000)
        drive.session.fire(-5)
        #expect(drive.session.calls.count == 2)
        drive.session.respond(500, call: Self.stride)
        #expect(drive.terminal == "error upstream_error maybe")
        #expect(drive.isSettled)
    }

    @Test func attemptsAreCounted() throws {
        let drive = try self.drive()
        for attempt in 0..<3 {
            drive.session.respond(503, call: attempt * Self.stride)
            drive.session.fire(-5)
        }
        #expect(drive.session.calls.count == 3)
        #expect(drive.terminal == "error upstream_error no")
        #expect(drive.isSettled)
    }

    @Test(arguments: [(500, "error upstream_error maybe"), (400, "error refused no")])
    func whatMayHaveBeenPaidOrWasRefusedIsNotAskedAgain(status: Int, terminal: String) throws {
        let drive = try self.drive()
        drive.session.respond(status)
        #expect(drive.terminal == terminal)
        #expect(drive.session.calls.count == 1)
    }

    @Test func nothingIsAskedAgainOnceAPreviewWasShown() throws {
        let drive = try self.drive()
        drive.session.respond(206)
        #expect(drive.session.calls.count == 1)
        #expect(drive.terminal.hasPrefix("error upstream_rate_limited"))
    }

    @Test func aLostConnectionIsTriedAgainOnlyWhereNoByteWasSent() throws {
        for (sent, calls) in [(false, 2), (true, 1)] {
            let drive = try self.drive()
            drive.session.end(UpstreamFailure(.connect, requestSent: sent, detail: ""))
            drive.session.fire(-5)
            #expect(drive.session.calls.count == calls)
        }
    }

    @Test func aJobIsCancelledWhileItWaits() throws {
        let condition = UpstreamCondition(name: "lab")
        let drive = try self.drive(condition: condition)
        drive.session.respond(429)
        drive.job.cancel(.client)
        drive.session.run()
        #expect(drive.terminal == "cancelled client no")
        #expect(drive.isSettled)
        #expect(condition.report.active == 0)
    }

    @Test func aLimitLongerThanTheQueueTimeEndsTheJob() throws {
        let drive = try self.drive(queue: .seconds(2))
        drive.session.respond(429)
        #expect(drive.terminal == "error upstream_rate_limited no")
    }

    @Test func theQueueTimeEndsAJobThatWaits() throws {
        let drive = try self.drive()
        drive.session.respond(429)
        drive.session.fire(-2)
        #expect(drive.terminal == "error deadline_exceeded no")
        #expect(drive.isSettled)
    }

    @Test func aJobWaitsForAPlaceAndShowsHowManyAreAhead() throws {
        var settings = UpstreamCondition.Settings()
        settings.concurrency = 1
        let condition = UpstreamCondition(name: "lab", settings: settings)
        let first = try self.drive(condition: condition)
        let second = try self.drive(condition: condition)
        let third = try self.drive(condition: condition)
        #expect(first.session.calls.count == 1)
        #expect(third.session.calls.isEmpty)
        third.session.fire(-3)
        #expect(self.stages(third).last?.queuePosition == 1)
        first.session.respond(500)
        second.session.run()
        third.session.run()
        #expect(second.session.calls.count == 1)
        #expect(third.session.calls.isEmpty)
        second.job.cancel(.client)
        second.session.run()
        third.session.run()
        #expect(third.session.calls.count == 1)
        #expect(self.stages(third).last?.queuePosition == nil)
        third.session.respond(500)
        #expect(condition.report.active == 0)
    }

    /// Who stood first in line stays first, and whoever stands behind is told the limit too.
    @Test func aJobThatIsSentAwayKeepsItsPlace() throws {
        var settings = UpstreamCondition.Settings()
        settings.concurrency = 1
        let uptime = ManualUptime()
        let condition = UpstreamCondition(name: "lab", settings: settings, uptime: { uptime.now })
        let first = try self.drive(condition: condition)
        let second = try self.drive(condition: condition)
        first.session.respond(429)
        second.session.run()
        #expect(second.session.calls.isEmpty)
        #expect(condition.report.active == 1 && condition.report.waiting == 1)
        uptime.advance(3000)
        first.session.fire(-5)
        #expect(first.session.calls.count == 2)
        first.session.respond(429, call: Self.stride)
        first.job.cancel(.client)
        first.session.run()
        second.session.run()
        #expect(second.session.calls.isEmpty, "the limit holds for it as well")
        #expect(self.stages(second).last?.reason == "rate_limited")
        uptime.advance(3000)
        second.session.fire(-5)
        #expect(second.session.calls.count == 1)
        second.session.respond(400)
        #expect(condition.report.active == 0)
    }

    /// `total` runs from acceptance: that of the attempt which goes on.
    @Test func theTimeOfAnEarlierAttemptDoesNotEndALaterOne() throws {
        let drive = try self.drive()
        drive.session.respond(202)
        #expect(drive.session.timers[UpstreamTimerID(-1)] != nil)
        drive.session.end(UpstreamFailure(.connect, requestSent: false, detail: ""))
        #expect(drive.terminal == "none")
        #expect(drive.session.timers[UpstreamTimerID(-1)] == nil)
        drive.job.cancel(.client)
        drive.session.run()
        #expect(drive.isSettled)
    }

    @Test func theQueueTimeBoundsAWaitBehindWork() throws {
        let drive = try self.drive()
        drive.session.sending()
        #expect(drive.job.log.standing.stage == .queued, "this upstream answers at once")
        drive.session.respond(429)
        #expect(drive.session.timers[UpstreamTimerID(-2)] != nil)
        drive.session.fire(-2)
        #expect(drive.terminal == "error deadline_exceeded no")
    }

    @Test func aJobThatGivesUpWaitingTakesNoPlace() throws {
        var settings = UpstreamCondition.Settings()
        settings.concurrency = 1
        let condition = UpstreamCondition(name: "lab", settings: settings)
        let first = try self.drive(condition: condition)
        let second = try self.drive(condition: condition)
        second.job.cancel(.client)
        second.session.run()
        #expect(second.isSettled)
        #expect(condition.report.waiting == 0)
        first.session.respond(500)
        #expect(condition.report.active == 0)
    }
}
