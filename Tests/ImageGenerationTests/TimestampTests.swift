import Foundation
import ImageGeneration
import Testing

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_262_400_000, "2026-11-21T12:00:00.000Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"), (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        ] as [(Int64, String)])
    func rfc3339(milliseconds: Int64, expected: String) {
        #expect(Timestamp(milliseconds: milliseconds).rfc3339 == expected)
    }

    @Test func agreesWithFoundationOverFourCenturies() throws {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        for step in stride(from: Int64(-6_000_000_000_000), to: 8_000_000_000_000, by: 8_640_000_123) {
            let text = Timestamp(milliseconds: step).rfc3339
            let date = try Date(text, strategy: style)
            #expect(Int64((date.timeIntervalSince1970 * 1000).rounded()) == step, "\(text)")
        }
    }

    @Test func secondsAndOrder() {
        #expect(Timestamp(seconds: 12).milliseconds == 12_000)
        #expect(Timestamp(milliseconds: 12_999).seconds == 12)
        #expect(Timestamp(milliseconds: 1) < Timestamp(milliseconds: 2))
        #expect(Timestamp(milliseconds: 1).advanced(byMilliseconds: 41) == Timestamp(milliseconds: 42))
    }
}
