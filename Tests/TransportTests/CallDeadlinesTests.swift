import Testing

@testable import Transport

@Suite struct CallDeadlinesTests {
    private static let all = UpstreamTimeouts(
        connect: .nanoseconds(10), firstByte: .nanoseconds(20), idle: .nanoseconds(30), total: .nanoseconds(100))

    private func expect(
        _ deadlines: CallDeadlines, _ time: UInt64?, _ reason: UpstreamFailure.Reason?,
        at location: SourceLocation = #_sourceLocation
    ) {
        #expect(deadlines.next?.time == time, sourceLocation: location)
        #expect(deadlines.next?.reason == reason, sourceLocation: location)
    }

    @Test func eachPhaseHasItsOwn() {
        var deadlines = CallDeadlines(Self.all, now: 1000)
        self.expect(deadlines, 1010, .connectTimeout)
        deadlines.connected(now: 1005)
        self.expect(deadlines, 1025, .firstByteTimeout)
        deadlines.sentRequestPiece(now: 1015)
        self.expect(deadlines, 1035, .firstByteTimeout)
        deadlines.receivedHead(now: 1030)
        self.expect(deadlines, 1060, .idleTimeout)
        deadlines.receivedPiece(now: 1060)
        self.expect(deadlines, 1090, .idleTimeout)
        deadlines.receivedPiece(now: 1080)
        self.expect(deadlines, 1100, .totalTimeout)
    }

    @Test func lateSignsOfAnEarlierPhaseChangeNothing() {
        var deadlines = CallDeadlines(Self.all, now: 0)
        deadlines.sentRequestPiece(now: 5)
        self.expect(deadlines, 10, .connectTimeout)
        deadlines.connected(now: 6)
        deadlines.receivedHead(now: 7)
        deadlines.connected(now: 50)
        deadlines.sentRequestPiece(now: 50)
        self.expect(deadlines, 37, .idleTimeout)
    }

    @Test func noneMeansNone() {
        var deadlines = CallDeadlines(UpstreamTimeouts(), now: 0)
        self.expect(deadlines, nil, nil)
        deadlines.connected(now: 1)
        deadlines.receivedHead(now: 2)
        self.expect(deadlines, nil, nil)
        self.expect(CallDeadlines(UpstreamTimeouts(total: .nanoseconds(7)), now: 3), 10, .totalTimeout)
    }

    @Test func durationsAreClamped() {
        #expect(Duration.seconds(-3).nanosecondsClamped == 0)
        #expect(Duration.milliseconds(3).nanosecondsClamped == 3_000_000)
        #expect(Duration.seconds(Int64.max).nanosecondsClamped == UInt64(Int64.max))
        #expect(UInt64.max.advanced(by: .seconds(1)) == .max)
    }
}
