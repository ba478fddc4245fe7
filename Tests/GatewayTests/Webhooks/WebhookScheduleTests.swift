import ImageGeneration
import Storage
import Testing
import Transport

@testable import Gateway

@Suite struct WebhookScheduleTests {
    private static let now = Timestamp(seconds: 1_700_000_000)

    private static func fate(_ outcome: WebhookOutcome, attempt: Int, jitter: Double = 1) -> WebhookFate {
        WebhookSchedule.fate(after: outcome, attempt: attempt, now: self.now, jitter: jitter)
    }

    private static func later(_ milliseconds: Int64) -> WebhookFate {
        .retry(at: self.now.advanced(byMilliseconds: milliseconds))
    }

    @Test(arguments: [200, 201, 202, 204, 299]) func taken(_ status: Int) {
        for attempt in [1, 5, 9] {
            #expect(Self.fate(.answered(status: status, retryAfterMilliseconds: 1), attempt: attempt) == .delivered)
        }
    }

    @Test(arguments: [
        WebhookOutcome.answered(status: 500, retryAfterMilliseconds: nil),
        .answered(status: 301, retryAfterMilliseconds: nil), .answered(status: 404, retryAfterMilliseconds: 10),
        .answered(status: 199, retryAfterMilliseconds: nil), .failed(.call(.connect)), .failed(.call(.totalTimeout)),
        .failed(.notConfigured), .failed(.secretUnset), .failed(.jobUnreadable),
    ]) func fourMoreTries(_ outcome: WebhookOutcome) {
        let fates = (1...7).map { Self.fate(outcome, attempt: $0) }
        #expect(
            fates == [
                Self.later(5000), Self.later(60_000), Self.later(900_000), Self.later(7_200_000), .givenUp, .givenUp,
                .givenUp,
            ])
    }

    @Test func delaysGrowWhateverTheJitter() {
        let least = (1...4).map { Self.fate(.failed(.notConfigured), attempt: $0, jitter: 0.8) }
        #expect(least == [Self.later(4000), Self.later(48_000), Self.later(720_000), Self.later(5_760_000)])
        #expect(Self.fate(.failed(.notConfigured), attempt: 1, jitter: 1.2) == Self.later(6000))
    }

    @Test func theReceiverMayAskForMoreTime() {
        let busy = WebhookOutcome.answered(status: 503, retryAfterMilliseconds: 120_000)
        #expect((1...3).map { Self.fate(busy, attempt: $0) } == [120_000, 120_000, 900_000].map { Self.later($0) })
        #expect(Self.fate(busy, attempt: 5) == .givenUp)
    }

    @Test func goneIsTheEnd() {
        #expect(Self.fate(.answered(status: 410, retryAfterMilliseconds: 5), attempt: 1) == .givenUp)
    }

    @Test func aStopCostsNoTry() {
        #expect(
            [1, 5, 9].map { Self.fate(.failed(.interrupted), attempt: $0) } == Array(repeating: Self.later(0), count: 3)
        )
    }
}
