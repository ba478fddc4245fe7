import ImageGeneration
import NIOCore
import Storage
import Testing

@Suite struct JobJournalTests {
    private static let at = Timestamp(milliseconds: 1_000)

    private func stage(_ message: String) -> JobEvent { .stage(StageChange(message: message)) }

    private func preview(_ image: Int, _ number: Int) -> JobEvent {
        .partialImage(
            PartialImage(
                imageIndex: image, partialImageIndex: number,
                attributes: ImageAttributes(
                    size: "8x8", quality: "low", background: "opaque", outputFormat: "png", createdAt: 1),
                payload: ImagePayload(canonical: ByteBuffer(string: "AAAA"))))
    }

    private func image(_ index: Int) -> JobEvent {
        .image(
            FinishedImage(
                imageIndex: index, imageID: ImageID(), width: 8, height: 8,
                attributes: ImageAttributes(
                    size: "8x8", quality: "low", background: "opaque", outputFormat: "png", createdAt: 1),
                fileSize: 3))
    }

    private let completed = JobEvent.completed(
        Completion(images: [], usage: .zero, upstream: "u", model: "m", timings: Timings()))

    @Test func numbersRiseWithinTheEpoch() {
        var journal = JobJournal(epoch: 7)
        let first = journal.append(self.stage("a"), at: Self.at)
        _ = journal.nextSequence()
        let third = journal.append(self.stage("b"), at: Self.at)
        #expect(first?.sequence == EventSequence(epoch: 7, number: 1))
        #expect(third?.sequence == EventSequence(epoch: 7, number: 3))
        #expect(journal.last.rawValue == 7 << 32 | 3)
    }

    @Test func nothingFollowsTheTerminalEvent() {
        for terminal in [
            self.completed, .error(GatewayError(.noImage, "none")),
            .cancelled(Cancellation(reason: .client, billed: .no)),
        ] {
            var journal = JobJournal(epoch: 1)
            #expect(journal.append(terminal, at: Self.at) != nil)
            #expect(journal.append(self.completed, at: Self.at) == nil)
            #expect(journal.append(self.stage("late"), at: Self.at) == nil)
            #expect(journal.entries.count == 1)
        }
    }

    @Test func stageAndProgressNeverFall() {
        var journal = JobJournal(epoch: 1)
        _ = journal.append(self.stage("a"), at: Self.at, stage: .generating, progress: 60)
        let back = journal.append(self.stage("b"), at: Self.at, stage: .queued, progress: 10)
        #expect(back?.stage == .generating)
        #expect(back?.progress == 60)
    }

    @Test func hundredPercentOnlyWhenCompleted() {
        var journal = JobJournal(epoch: 1)
        #expect(journal.append(self.stage("a"), at: Self.at, stage: .generating, progress: 100)?.progress == 99)
        #expect(journal.append(self.completed, at: Self.at, stage: .completed, progress: 100)?.progress == 100)
    }

    @Test func aFailedJobKeepsTheProgressItHad() {
        var journal = JobJournal(epoch: 1)
        _ = journal.append(self.stage("a"), at: Self.at, stage: .generating, progress: 40)
        let end = journal.append(.error(GatewayError(.noImage, "none")), at: Self.at)
        #expect(end?.progress == 40)
        #expect(end?.stage == .error)
    }

    @Test func newerPreviewsSupersedeOlderOnesOfTheirImage() {
        var journal = JobJournal(epoch: 1)
        for (image, number) in [(0, 0), (1, 0), (0, 1), (0, 2)] {
            _ = journal.append(self.preview(image, number), at: Self.at)
        }
        let kept = journal.entries.compactMap { entry -> [Int]? in
            guard case .partialImage(let preview) = entry.event else { return nil }
            return [preview.imageIndex, preview.partialImageIndex]
        }
        #expect(kept == [[1, 0], [0, 2]])
        _ = journal.append(self.image(0), at: Self.at)
        #expect(journal.entries.count == 2)
    }

    @Test func aStageEventSupersedesOneOfTheSameStage() {
        var journal = JobJournal(epoch: 1)
        _ = journal.append(self.stage("queued"), at: Self.at, stage: .queued)
        _ = journal.append(self.stage("work 1"), at: Self.at, stage: .generating, progress: 20)
        _ = journal.append(self.stage("work 2"), at: Self.at, stage: .generating, progress: 30)
        let messages = journal.entries.compactMap { entry -> String? in
            guard case .stage(let change) = entry.event else { return nil }
            return change.message
        }
        #expect(messages == ["queued", "work 2"])
    }

    @Test func textIsBounded() {
        var journal = JobJournal(epoch: 1)
        for _ in 0..<5000 { _ = journal.append(.textDelta("x"), at: Self.at) }
        _ = journal.append(self.image(0), at: Self.at)
        #expect(journal.entries.count == 4097)
    }

    @Test func readingContinuesBehindAPosition() {
        var journal = JobJournal(epoch: 3)
        for index in 0..<4 { _ = journal.append(self.image(index), at: Self.at) }
        for number in UInt32(0)...5 {
            let rest = journal.entries(after: EventSequence(epoch: 3, number: number)).map(\.sequence.number)
            #expect(rest == [1, 2, 3, 4].filter { $0 > number })
        }
    }
}
