import ImageGeneration
import Testing

@testable import Gateway

@Suite struct AttemptPolicyTests {
    private func situation(
        attempts: Int = 3, alternative: Bool = false, remaining: Int64 = 1_800_000, jitter: Double = 0
    ) -> AttemptPolicy.Situation {
        .init(
            settings: .init(attempts: attempts, backoffMilliseconds: 200), hasAlternative: alternative,
            remaining: remaining, jitter: jitter)
    }

    private func error(_ code: GatewayError.Code, after: Int? = nil) -> GatewayError {
        GatewayError(code, "", retryAfterMilliseconds: after)
    }

    @Test func backoffDoublesAndIsJittered() {
        let policy = Box(AttemptPolicy())
        let lost = self.error(.upstreamUnreachable)
        #expect(policy({ $0.decide(after: lost, self.situation()) }) == .again(afterMilliseconds: 100))
        #expect(policy({ $0.decide(after: lost, self.situation(jitter: 0.5)) }) == .again(afterMilliseconds: 400))
        #expect(policy({ $0.decide(after: lost, self.situation()) }) == .giveUp)
    }

    @Test(arguments: [0, 1, 1000, 59_000]) func nobodyComesBackSoonerThanTold(told: Int) throws {
        for jitter in [0, 0.5, 0.999] {
            let policy = Box(AttemptPolicy())
            let decision = policy({
                $0.decide(
                    after: self.error(.upstreamRateLimited, after: told), self.situation(jitter: jitter))
            })
            guard case .again(let wait) = decision else {
                Issue.record("\(decision)")
                continue
            }
            #expect(wait >= told)
        }
    }

    @Test func aLongLimitSendsTheJobElsewhere() {
        let policy = Box(AttemptPolicy())
        let limited = self.error(.upstreamRateLimited, after: 30_000)
        #expect(policy({ $0.decide(after: limited, self.situation(alternative: true)) }) == .elsewhere)
    }

    @Test func whatDoesNotFitIntoTheQueueTimeIsNotWaitedFor() {
        let policy = Box(AttemptPolicy())
        let limited = self.error(.upstreamRateLimited, after: 1_000_000_000)
        #expect(policy({ $0.decide(after: limited, self.situation()) }) == .giveUp)
        #expect(policy({ $0.decide(after: limited, self.situation(alternative: true)) }) == .elsewhere)
    }

    @Test func aNewUpstreamIsGivenAllItsAttempts() {
        let policy = Box(AttemptPolicy())
        let lost = self.error(.upstreamUnreachable)
        policy({ $0.decide(after: lost, self.situation(attempts: 2)) })
        #expect(policy({ $0.decide(after: lost, self.situation(attempts: 2, alternative: true)) }) == .elsewhere)
        policy({ $0.moved() })
        #expect(policy({ $0.decide(after: lost, self.situation(attempts: 2)) }) == .again(afterMilliseconds: 100))
    }

    @Test(arguments: [GatewayError.Code.providerAuth, .providerQuota, .upstreamUnavailable])
    func whatRepeatingCannotMendGoesElsewhere(code: GatewayError.Code) {
        let policy = Box(AttemptPolicy())
        #expect(policy({ $0.decide(after: self.error(code), self.situation()) }) == .giveUp)
        #expect(policy({ $0.decide(after: self.error(code), self.situation(alternative: true)) }) == .elsewhere)
    }

    @Test(arguments: [GatewayError.Code.refused, .invalidParameter, .upstreamProtocol, .upstreamTruncated, .noImage])
    func whatTheRequestOrTheAnswerIsToBlameForEnds(code: GatewayError.Code) {
        let policy = Box(AttemptPolicy())
        #expect(policy({ $0.decide(after: self.error(code), self.situation(alternative: true)) }) == .giveUp)
    }
}
