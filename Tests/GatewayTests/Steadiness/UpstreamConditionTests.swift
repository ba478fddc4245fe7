import ImageGeneration
import Synchronization
import Testing

@testable import Gateway

@Suite struct UpstreamConditionTests {
    private let clock = ManualUptime()

    private func condition(concurrency: Int? = nil, waiting: Int = 2, failures: Int = 2) -> UpstreamCondition {
        var settings = UpstreamCondition.Settings()
        settings.concurrency = concurrency
        settings.waiting = waiting
        settings.breaker = .init(failures: failures, openMilliseconds: 5000)
        return UpstreamCondition(name: "lab", settings: settings, uptime: { [clock] in clock.now })
    }

    private func permit(_ condition: UpstreamCondition, isAccepted: Bool = false) throws -> UpstreamPermit {
        switch condition.enter(isAccepted: isAccepted) {
        case .entered(let permit): return permit
        case .refused(let error): throw error
        }
    }

    private static let broken = GatewayError(.upstreamError, "", upstreamStatus: 500)

    @Test func aPlaceIsFreeAgainHoweverThePermitEnds() throws {
        let condition = self.condition(concurrency: 1, waiting: 0)
        for outcome in [UpstreamPermit.Outcome.succeeded, .left, .failed(GatewayError(.refused, ""))] {
            let permit = try self.permit(condition)
            #expect(condition.report.active == 1)
            #expect(throws: GatewayError.self) { try self.permit(condition) }
            permit.end(outcome)
            permit.end(.succeeded)
            #expect(condition.report.active == 0)
        }
        _ = try self.permit(condition)
        #expect(condition.report.active == 0, "the last reference gives it back")
    }

    @Test func whoWaitsIsToldOfEveryStepForward() throws {
        let condition = self.condition(concurrency: 1)
        let first = try self.permit(condition)
        let second = try self.permit(condition)
        let third = try self.permit(condition)
        #expect(third.standing == .waiting(ahead: 1))
        let told = Mutex<[WaitingRoom.Standing]>([])
        third.onChange { standing in told.withLock { $0.append(standing) } }
        first.end(.succeeded)
        #expect(second.standing == .admitted)
        second.end(.succeeded)
        #expect(told.withLock { $0 } == [.waiting(ahead: 0), .admitted])
        third.end(.left)
        #expect(condition.report.active == 0)
    }

    @Test func whoWasLetInBeforeItListenedGivesThePlaceBack() throws {
        let condition = self.condition(concurrency: 1)
        let first = try self.permit(condition)
        let second = try self.permit(condition)
        first.end(.succeeded)
        second.end(.left)
        #expect(condition.report.active == 0)
        #expect(condition.report.waiting == 0)
    }

    @Test func aFullWaitingRoomRefusesNewJobsAndNoneThatWasAccepted() throws {
        let condition = self.condition(concurrency: 1, waiting: 1)
        let inside = [try self.permit(condition), try self.permit(condition)]
        let error = #expect(throws: GatewayError.self) { try self.permit(condition) }
        #expect(error?.code == .overloaded)
        #expect(error?.retryAfterMilliseconds != nil)
        #expect(try self.permit(condition, isAccepted: true).standing == .waiting(ahead: 1))
        inside.forEach { $0.end(.left) }
    }

    @Test func itIsLeftAloneWhileItFailsAndTriedByOne() throws {
        let condition = self.condition()
        #expect(!(try self.permit(condition).end(.failed(Self.broken))))
        #expect(try self.permit(condition).end(.failed(Self.broken)))
        let error = #expect(throws: GatewayError.self) { try self.permit(condition) }
        #expect(error?.code == .upstreamUnavailable)
        #expect(error?.retryAfterMilliseconds == 5000)
        #expect(condition.prospect == .closed)
        self.clock.advance(5000)
        let probe = try self.permit(condition)
        #expect(condition.report.breaker == .halfOpen)
        #expect(throws: GatewayError.self) { try self.permit(condition) }
        probe.accepted()
        #expect(condition.report.breaker == .closed)
        probe.end(.succeeded)
    }

    @Test func aProbeThatIsCancelledLetsAnotherTry() throws {
        let condition = self.condition(failures: 1)
        try self.permit(condition).end(.failed(Self.broken))
        self.clock.advance(5000)
        try self.permit(condition).end(.left)
        _ = try self.permit(condition)
    }

    @Test(arguments: [GatewayError.Code.refused, .invalidParameter, .providerAuth, .upstreamRateLimited])
    func whatIsNotTheUpstreamsFaultDoesNotCount(code: GatewayError.Code) throws {
        let condition = self.condition(failures: 1)
        for _ in 0..<3 { try self.permit(condition).end(.failed(GatewayError(code, ""))) }
        #expect(condition.report.breaker == .closed)
    }

    @Test func theUpstreamsOwnWordHoldsForEverybody() throws {
        let condition = self.condition()
        let limited = GatewayError(.upstreamRateLimited, "", retryAfterMilliseconds: 3000)
        try self.permit(condition).end(.failed(limited))
        #expect(condition.prospect == .held(milliseconds: 3000))
        self.clock.advance(1000)
        #expect(try self.permit(condition).heldMilliseconds == 2000)
        self.clock.advance(2000)
        #expect(condition.prospect == .open)
    }

    @Test func whoWasInLineWhenItWasSaidIsHeldToo() throws {
        let condition = self.condition(concurrency: 1)
        let first = try self.permit(condition)
        let second = try self.permit(condition)
        #expect(second.heldMilliseconds == 0)
        first.end(.failed(GatewayError(.upstreamRateLimited, "", retryAfterMilliseconds: 3000)))
        #expect(second.standing == .admitted)
        #expect(second.heldMilliseconds == 3000)
        second.end(.left)
    }

    @Test func aJobThatAsksAgainKeepsItsPlace() throws {
        let condition = self.condition(concurrency: 1, failures: 3)
        let first = try self.permit(condition)
        let second = try self.permit(condition)
        #expect(!first.failed(Self.broken))
        #expect(!first.failed(Self.broken), "told once")
        #expect(second.standing == .waiting(ahead: 0))
        #expect(first.askAgain() == nil)
        #expect(!first.failed(Self.broken))
        #expect(condition.report.breaker == .closed)
        #expect(!first.end(.failed(Self.broken)), "was told already")
        #expect(condition.report.breaker == .closed)
        #expect(second.standing == .admitted)
        #expect(second.failed(Self.broken))
        #expect(second.askAgain()?.code == .upstreamUnavailable)
        self.clock.advance(5000)
        #expect(second.askAgain() == nil)
        #expect(condition.report.breaker == .halfOpen)
        second.end(.left)
        #expect(condition.report.active == 0)
        let next = try self.permit(condition)
        #expect(condition.report.breaker == .halfOpen, "another may try")
        next.end(.succeeded)
        #expect(condition.report.breaker == .closed)
    }

    @Test func settingsThatStayKeepWhatIsKnown() {
        let conditions = UpstreamConditions()
        let settings = UpstreamCondition.Settings()
        let first = conditions.condition(of: "lab", settings)
        #expect(conditions.condition(of: "lab", settings) === first)
        var changed = settings
        changed.concurrency = 4
        #expect(conditions.condition(of: "lab", changed) !== first)
    }
}
