import ImageGeneration
import NIOCore
import Storage
import Synchronization
import Testing

@Suite struct EventLogTests {
    private static let at = Timestamp(milliseconds: 1_000)

    @Test func aReaderSeesWhatWasThereAndWhatFollows() {
        let log = EventLog(epoch: 1)
        log.append(.textDelta("a"), at: Self.at)
        let woken = Atomic<Int>(0)
        let reader = log.subscribe()
        #expect(reader.read(orWake: {}).count == 1)
        #expect(reader.read(orWake: { woken.add(1, ordering: .relaxed) }).isEmpty)
        log.append(.textDelta("b"), at: Self.at)
        log.append(.textDelta("c"), at: Self.at)
        #expect(woken.load(ordering: .relaxed) == 1)
        #expect(reader.read(orWake: {}).map(\.sequence.number) == [2, 3])
    }

    @Test func afterTheTerminalEventNobodyIsWoken() {
        let log = EventLog(epoch: 1)
        log.append(.error(GatewayError(.noImage, "none")), at: Self.at)
        let reader = log.subscribe()
        let woken = Atomic<Int>(0)
        #expect(reader.read(orWake: { woken.add(1, ordering: .relaxed) }).count == 1)
        #expect(reader.read(orWake: { woken.add(1, ordering: .relaxed) }).isEmpty)
        #expect(log.append(.textDelta("late"), at: Self.at) == nil)
        #expect(reader.reserveSequence() == nil)
        #expect(woken.load(ordering: .relaxed) == 0)
    }

    /// Previews that follow each other before a reader can come are all its own; one that stays away finds the newest.
    @Test func aPromptReaderLosesNoPreview() {
        let log = EventLog(epoch: 1)
        let reader = log.subscribe()
        log.append(Self.preview(0), at: Self.at)
        log.append(Self.preview(1), at: Self.at)
        #expect(reader.read(orWake: {}).map(\.sequence.number) == [1, 2])
        #expect(log.retained.map(\.sequence.number) == [2])
        #expect(reader.read(orWake: {}).isEmpty)
        log.append(Self.preview(2), at: Self.at)
        log.append(Self.preview(3), at: Self.at)
        #expect(reader.read(orWake: {}).map(\.sequence.number) == [3, 4])
        log.append(Self.preview(4), at: Self.at)
        log.append(Self.preview(5), at: Self.at)
        #expect(reader.read(orWake: {}).map(\.sequence.number) == [6])
    }

    @Test func aReaderThatClosesHoldsNoPreview() {
        let log = EventLog(epoch: 1)
        let reader = log.subscribe()
        log.append(Self.preview(0), at: Self.at)
        log.append(Self.preview(1), at: Self.at)
        #expect(log.retained.count == 2)
        reader.close()
        #expect(log.retained.map(\.sequence.number) == [2])
    }

    private static func preview(_ number: Int) -> JobEvent {
        .partialImage(
            PartialImage(
                imageIndex: 0, partialImageIndex: number,
                attributes: ImageAttributes(
                    size: "8x8", quality: "low", background: "opaque", outputFormat: "png", createdAt: 1),
                payload: ImagePayload(canonical: ByteBuffer(string: "AAAA"))))
    }

    @Test func theLastReaderToCloseIsTold() {
        let log = EventLog(epoch: 1)
        let first = log.subscribe()
        let second = log.subscribe()
        #expect(log.readerCount == 2)
        #expect(!first.close())
        #expect(!first.close())
        #expect(second.close())
        #expect(log.readerCount == 0)
    }

    /// A log that was kept is read on as the one it was.
    @Test func aKeptLogGoesOnWhereItWas() {
        let log = EventLog(epoch: 3)
        for text in ["a", "b"] { log.append(.textDelta(text), at: Self.at, stage: .generating, progress: 40) }
        let kept = EventLog(retained: log.retained)
        #expect(kept.standing.stage == .generating && kept.standing.progress == 40)
        #expect(kept.standing.oldest == EventSequence(epoch: 3, number: 1))
        #expect(kept.subscribe(after: EventSequence(epoch: 3, number: 1)).read(orWake: {}).count == 1)
        #expect(kept.append(.textDelta("c"), at: Self.at)?.sequence == EventSequence(epoch: 3, number: 3))
        log.append(.error(GatewayError(.noImage, "none")), at: Self.at)
        let over = EventLog(retained: log.retained)
        #expect(over.standing.terminal?.sequence.number == 3)
        #expect(over.append(.textDelta("d"), at: Self.at) == nil)
        #expect(over.subscribe().reserveSequence() == nil)
        #expect(EventLog(retained: []).retained.isEmpty)
    }

    @Test func droppedTextIsKnownAsLost() {
        let log = EventLog(epoch: 1)
        for _ in 0..<4096 { log.append(.textDelta("x"), at: Self.at) }
        #expect(log.standing.lostThrough == nil)
        log.append(.textDelta("x"), at: Self.at)
        #expect(log.standing.lostThrough?.number == 1)
        #expect(log.standing.oldest?.number == 2)
        log.append(Self.preview(0), at: Self.at)
        log.append(Self.preview(1), at: Self.at)
        #expect(log.standing.lostThrough?.number == 1)
    }

    /// What one reader was shown between events, no later event takes back.
    @Test func progressShownIsNotTakenBack() {
        let log = EventLog(epoch: 1)
        log.append(.textDelta("a"), at: Self.at, stage: .generating, progress: 20)
        let reader = log.subscribe()
        #expect(reader.reserveSequence(progress: 57) == nil, "a number above what is unread")
        #expect(reader.read(orWake: {}).count == 1)
        #expect(reader.reserveSequence(progress: 57)?.number == 2)
        #expect(log.append(.textDelta("b"), at: Self.at, progress: 35)?.progress == 57)
        #expect(reader.read(orWake: {}).count == 1)
        #expect(reader.reserveSequence(progress: 250) != nil)
        #expect(log.append(.textDelta("c"), at: Self.at)?.progress == 99)
    }

    @Test func whoCanLetGoIsAskedBeforeALeaseIsRefused() {
        let budget = PayloadBudget(limit: 100)
        let hoard = Hoard(leases: [40, 40].map { budget.leaseAlways($0) })
        budget.onPressure { _, _ in hoard.letGo() }
        #expect(budget.lease(30) != nil)
        #expect(hoard.count == 1)
        let forced = budget.leaseAlways(90)
        #expect(hoard.count == 0)
        #expect(budget.lease(30) == nil)
        #expect(budget.heldBytes == forced.bytes)
    }

    private final class Hoard: Sendable {
        private let leases: Mutex<[PayloadLease]>

        init(leases: [PayloadLease]) { self.leases = Mutex(leases) }

        var count: Int { self.leases.withLock { $0.count } }

        func letGo() -> Bool { self.leases.withLock { $0.popLast() != nil } }
    }

    /// Writers and readers at once: every reader sees every event of a log that supersedes nothing, once and in order.
    @Test func concurrentReadersSeeOneOrder() async {
        let log = EventLog(epoch: 1)
        let total = 500
        await withTaskGroup(of: [UInt32].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let reader = log.subscribe()
                    let (wakes, signal) = AsyncStream.makeStream(of: Void.self)
                    var seen: [UInt32] = []
                    signal.yield()
                    for await _ in wakes {
                        while true {
                            let events = reader.read(orWake: { signal.yield() })
                            seen += events.map(\.sequence.number)
                            if events.isEmpty { break }
                            if events.last?.event.isTerminal == true { return seen }
                        }
                    }
                    return seen
                }
            }
            group.addTask {
                for _ in 1..<total { log.append(.textDelta("x"), at: Self.at) }
                log.append(.error(GatewayError(.noImage, "none")), at: Self.at)
                return []
            }
            for await seen in group where !seen.isEmpty { #expect(seen == (1...UInt32(total)).map { $0 }) }
        }
    }

    @Test func theBudgetCountsUntilTheLastReference() {
        let budget = PayloadBudget(limit: 100)
        var lease = budget.lease(60)
        #expect(lease != nil)
        #expect(budget.lease(60) == nil)
        #expect(budget.heldBytes == 60)
        let forced = budget.leaseAlways(60)
        #expect(budget.isExhausted)
        lease = nil
        #expect(budget.heldBytes == forced.bytes)
    }
}
