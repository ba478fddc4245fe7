import Dialects
import ImageGeneration
import NIOCore
import Providers
import Testing

@testable import Gateway

@Suite struct JobAssemblerTests {
    @Test func aPictureFromQueuedToCompleted() {
        var run = AssemblerRun(SamplePlan.plan(partialImages: 1))
        run.submitted()
        run.apply(.accepted)
        run.apply(.status(UpstreamStatus(stage: .processing)))
        run.apply(.status(UpstreamStatus(stage: .generating)))
        run.apply(.samplePreview())
        run.apply(.sampleImage())
        run.finish()
        #expect(
            run.steps == [
                "stage queued", "stage processing", "stage generating", "preview 0.0", "image 0 bytes",
                "completed [0] []",
                "ended",
            ])
    }

    /// Where the client left it open whether a picture comes.
    @Test(arguments: ImageRequest.PictureWish.allCases)
    func aConversationMayEndInTextAlone(_ wish: ImageRequest.PictureWish) {
        var run = AssemblerRun(SamplePlan.plan { $0.picture = wish })
        run.apply(.textDelta("Hello"))
        run.finish()
        let end = wish == .always ? "error no_image no" : "completed [] []"
        #expect(run.steps == ["stage queued", "stage processing", "text Hello", end, "ended"])
    }

    @Test func butNotInSilenceOrFailure() {
        var silent = AssemblerRun(SamplePlan.plan { $0.picture = .model })
        silent.finish()
        #expect(silent.steps.contains("error no_image no"))
        var broken = AssemblerRun(SamplePlan.plan { $0.picture = .never })
        broken.apply(.textDelta("Hel"))
        broken.finish(GatewayError(.upstreamTruncated, "cut"))
        #expect(broken.steps.contains { $0.hasPrefix("error upstream_truncated") })
    }

    @Test func everyStageOnTheWayIsToldWhenThePictureComesFirst() {
        var run = AssemblerRun()
        run.apply(.sampleImage())
        run.finish()
        #expect(
            run.steps == ["stage queued", "stage generating", "image 0 bytes", "completed [0] []", "ended"])
    }

    @Test func theFirstEventSaysWhatWasDropped() throws {
        let run = AssemblerRun(SamplePlan.plan(dropped: ["seed", "style"]))
        guard case .stage(let change)? = run.written.first?.event else {
            Issue.record("no stage event")
            return
        }
        #expect(change.dropped == ["seed", "style"])
        #expect(run.written.first?.stage == .queued)
        #expect(run.written.first?.progress == 0)
    }

    @Test func aFinalBeforeItsPreviewsSilencesThem() {
        var run = AssemblerRun(SamplePlan.plan(partialImages: 3))
        run.apply(.samplePreview(number: 0))
        run.apply(.sampleImage())
        run.apply(.samplePreview(number: 1))
        run.apply(.sampleImage())
        run.apply(.imageFailed(imageIndex: 0, GatewayError(.upstreamError, "late")))
        run.finish()
        #expect(
            run.steps == [
                "stage queued", "stage generating", "preview 0.0", "image 0 bytes", "completed [0] []", "ended",
            ])
    }

    @Test(arguments: [-1, 1, 7, Int.max, Int.min]) func picturesNobodyAskedForAreDropped(_ index: Int) {
        var run = AssemblerRun()
        run.apply(.samplePreview(index))
        run.apply(.sampleImage(index))
        run.apply(.imageFailed(imageIndex: index, GatewayError(.upstreamError, "no")))
        run.apply(.sampleImage(0))
        run.finish()
        #expect(run.steps.suffix(3) == ["image 0 bytes", "completed [0] []", "ended"])
        #expect(!run.steps.contains { $0.hasPrefix("preview") })
    }

    @Test(arguments: [Int.min, -1, 0, 3, Int.max]) func aPreviewsNumberCannotBreakTheProgress(_ number: Int) {
        var run = AssemblerRun(SamplePlan.plan(partialImages: 2))
        run.apply(.samplePreview(number: number))
        run.finish()
        #expect(run.written.allSatisfy { (0...99).contains($0.progress) })
    }

    @Test func severalPicturesCompleteInAnyOrder() throws {
        var run = AssemblerRun(SamplePlan.plan(count: 3))
        for index in [2, 0, 1] { run.apply(.sampleImage(index)) }
        run.finish()
        #expect(run.steps.filter { $0.hasPrefix("image") } == ["image 2 bytes", "image 0 bytes", "image 1 bytes"])
        #expect(run.completion?.images.map(\.imageIndex) == [0, 1, 2])
        #expect(run.completion?.images.allSatisfy { $0.payload == nil } == true)
    }

    @Test func whatIsMissingBesideFinishedPicturesIsAFailureOfTheUpstreamsReason() {
        var run = AssemblerRun(SamplePlan.plan(count: 3))
        run.apply(.imageFailed(imageIndex: 2, GatewayError(.refused, "no")))
        run.apply(.sampleImage(0))
        run.finish(GatewayError(.upstreamTruncated, "cut", billed: .maybe))
        #expect(run.completion?.failures.map(\.imageIndex) == [1, 2])
        #expect(run.completion?.failures.map(\.code) == [.upstreamTruncated, .refused])
    }

    @Test func aPictureThatComesAfterItsFailureIsNoFailure() {
        var run = AssemblerRun(SamplePlan.plan(count: 2))
        run.apply(.imageFailed(imageIndex: 0, GatewayError(.upstreamError, "first try")))
        run.apply(.imageFailed(imageIndex: 0, GatewayError(.upstreamError, "second try")))
        run.apply(.imageFailed(imageIndex: 1, GatewayError(.refused, "no")))
        run.apply(.sampleImage(0))
        run.finish()
        #expect(run.steps.suffix(2) == ["completed [0] [\"refused\"]", "ended"])
    }

    @Test func aPictureThatWasFinishedBeforeTheRestartIsNotToldTwice() throws {
        var run = AssemblerRun(SamplePlan.plan(count: 2), keepsImages: true)
        run.apply(.sampleImage(0))
        let told = try #require(run.written.last)
        guard case .image(var image) = told.event else { throw Unexpected() }
        image.payload = nil
        var again = AssemblerRun(pickingUp: SamplePlan.plan(count: 2), kept: [image])
        again.apply(.sampleImage(0))
        again.apply(.sampleImage(1))
        again.stored(1, .success(nil))
        again.finish()
        #expect(
            again.steps == [
                "stage generating", "image 0", "stage uploading", "image 1 bytes", "store 1 png",
                "completed [0, 1] []", "ended",
            ])
        #expect(again.completion?.images.first?.imageID == image.imageID)
    }

    private struct Unexpected: Error {}

    @Test func noPictureIsAnErrorEvenWithoutAReason() {
        var run = AssemblerRun()
        run.submitted()
        run.apply(.accepted)
        run.finish()
        #expect(run.steps.suffix(2) == ["error no_image maybe", "ended"])
    }

    @Test func whatIsNoPictureIsRefused() {
        var run = AssemblerRun()
        run.apply(.sampleImage(payload: ByteBuffer(string: "PGh0bWw+PC9odG1sPg==")))
        run.finish()
        #expect(run.steps.suffix(2) == ["error image_refused yes", "ended"])
    }

    @Test func textStreamsBesidePictures() {
        var run = AssemblerRun()
        run.apply(.textDelta("Here"))
        run.apply(.textDelta(" it is"))
        run.apply(.sampleImage())
        run.finish()
        #expect(run.steps.filter { $0.hasPrefix("text") } == ["text Here", "text  it is"])
    }

    @Test func usageAddsUpAndTheUpstreamNamesTheModel() {
        var run = AssemblerRun(SamplePlan.plan(count: 2, model: "asked"))
        run.apply(.sampleImage(0, usage: Usage(outputTokens: 4, totalTokens: 4)))
        run.apply(.sampleImage(1, usage: Usage(outputTokens: 5, totalTokens: 5)))
        run.apply(.usage(Usage(inputTokens: 3, totalTokens: 3)))
        run.apply(.model("real"))
        run.finish()
        #expect(run.completion?.usage == Usage(inputTokens: 3, outputTokens: 9, totalTokens: 12))
        #expect(run.completion?.model == "real")
        #expect(run.completion?.upstream == "lab")
    }

    @Test func theModelIsTheConfiguredOneElseTheClients() {
        var target = SamplePlan.target(PuppetAdapter())
        target.model = "configured"
        for (upstream, expected) in [(target, "configured"), (SamplePlan.target(PuppetAdapter()), "asked")] {
            var run = AssemblerRun(SamplePlan.plan(model: "asked", upstream: upstream))
            run.apply(.sampleImage())
            run.finish()
            #expect(run.completion?.model == expected)
        }
    }

    @Test func timingsAreOfThePhases() {
        var run = AssemblerRun(SamplePlan.plan(delivery: .both), keepsImages: true)
        run.apply(.status(UpstreamStatus(stage: .processing)), after: 100)
        run.apply(.samplePreview(), after: 200)
        run.apply(.sampleImage(), after: 300)
        run.finish()
        run.stored(0, .success(AssemblerRun.url), after: 50)
        #expect(
            run.completion?.timings
                == Timings(queued: 100, firstPreview: 300, generating: 500, uploading: 50, total: 650))
    }

    @Test func aClockThatGoesBackMakesNoNegativeTimes() {
        var run = AssemblerRun()
        run.apply(.accepted, after: -5000)
        run.apply(.sampleImage(), after: -5000)
        run.finish()
        let timings = run.completion?.timings
        #expect(
            [timings?.queued, timings?.generating, timings?.uploading, timings?.total].allSatisfy { ($0 ?? -1) >= 0 })
    }
}

/// Stage events come at most every 250 ms, transitions apart.
@Suite struct JobAssemblerStageTests {
    /// A service that has taken the job into its queue has not begun it.
    @Test func aJobInTheUpstreamsQueueIsQueued() {
        var run = AssemblerRun()
        run.submitted()
        run.apply(.accepted)
        #expect(run.steps == ["stage queued"])
        run.apply(.status(UpstreamStatus(stage: .queued, queuePosition: 2)), after: 300)
        #expect(run.steps == ["stage queued", "stage queued"])
        run.apply(.status(UpstreamStatus(stage: .processing)))
        #expect(run.steps.last == "stage processing")
    }

    @Test func newsOfOneStageAreHeldBackAndTheLastIsTold() throws {
        var run = AssemblerRun()
        run.apply(.status(UpstreamStatus(stage: .processing)), after: 10)
        for position in [3, 2, 1] {
            run.apply(.status(UpstreamStatus(stage: .processing, queuePosition: position)), after: 10)
        }
        run.flush()
        #expect(run.steps == ["stage queued", "stage processing", "flush 250", "stage processing"])
        guard case .stage(let change)? = run.written.last?.event else {
            Issue.record("no stage event")
            return
        }
        #expect(change.queuePosition == 1)
    }

    @Test func transitionsAreToldAtOnceAndWhatWasHeldIsForgotten() {
        var run = AssemblerRun()
        run.apply(.status(UpstreamStatus(stage: .queued, queuePosition: 4)), after: 1)
        run.apply(.status(UpstreamStatus(stage: .generating)), after: 1)
        run.flush()
        #expect(run.steps == ["stage queued", "flush 250", "stage generating"])
    }

    @Test func anUpstreamThatFallsBackToQueueingKeepsTheStage() {
        var run = AssemblerRun()
        run.apply(.status(UpstreamStatus(stage: .generating, progress: 40)))
        run.apply(.status(UpstreamStatus(stage: .queued, progress: 2, queuePosition: 9)))
        #expect(run.written.map(\.stage) == [.queued, .generating, .generating])
        #expect(run.written.map(\.progress) == [0, 40, 40])
    }

    @Test(arguments: [Stage.uploading, .completed, .error, .cancelled])
    func anUpstreamCannotNameAStageThatIsOurs(_ stage: Stage) {
        var run = AssemblerRun()
        run.apply(.status(UpstreamStatus(stage: stage, progress: 100)))
        #expect(run.written.last?.stage == .generating)
        #expect(run.written.last?.progress ?? 100 < 100)
    }

    @Test func nothingIsFlushedAfterTheEnd() {
        var run = AssemblerRun()
        run.apply(.status(UpstreamStatus(stage: .queued, queuePosition: 4)), after: 1)
        run.cancel()
        run.flush()
        #expect(run.steps.last == "ended")
    }
}

@Suite struct JobAssemblerEndingTests {
    @Test func cancellingEndsAtOnceAndDiscardsTheRest() {
        var run = AssemblerRun(SamplePlan.plan(delivery: .url), keepsImages: true)
        run.submitted()
        run.apply(.sampleImage())
        run.cancel(.disconnect)
        run.stored(0, .success(AssemblerRun.url))
        run.apply(.sampleImage())
        run.finish()
        run.cancel()
        #expect(run.steps.suffix(2) == ["cancelled disconnect yes", "ended"])
    }

    @Test func cancellingBeforeTheSubmissionCostsNothing() {
        var run = AssemblerRun()
        run.cancel(.operator)
        #expect(run.steps == ["stage queued", "cancelled operator no", "ended"])
    }

    @Test func theSecondEndingIsNotHeard() {
        var run = AssemblerRun()
        run.finish(GatewayError(.upstreamError, "first"))
        run.finish(GatewayError(.deadlineExceeded, "second"))
        run.cancel()
        #expect(run.steps == ["stage queued", "error upstream_error no", "ended"])
    }

    struct Bill: Sendable {
        var submitted = true
        var usage = false
        var error: GatewayError
        var billed: GatewayError.Billed
    }

    @Test(arguments: [
        Bill(submitted: false, error: GatewayError(.upstreamUnreachable, ""), billed: .no),
        Bill(error: GatewayError(.upstreamUnreachable, ""), billed: .no),
        Bill(error: GatewayError(.upstreamRateLimited, "", upstreamStatus: 429), billed: .no),
        Bill(error: GatewayError(.invalidParameter, "", upstreamStatus: 400), billed: .no),
        Bill(error: GatewayError(.refused, "", billed: .no), billed: .no),
        Bill(error: GatewayError(.refused, "", billed: .maybe), billed: .maybe),
        Bill(error: GatewayError(.upstreamStalled, "", billed: .maybe), billed: .maybe),
        Bill(error: GatewayError(.upstreamError, "", billed: .no, upstreamStatus: 500), billed: .maybe),
        Bill(error: GatewayError(.upstreamTruncated, "", billed: .yes), billed: .yes),
        Bill(usage: true, error: GatewayError(.upstreamTruncated, "", billed: .maybe), billed: .yes),
        Bill(usage: true, error: GatewayError(.upstreamStalled, "", billed: .no), billed: .yes),
    ]) func whatAFailureMayHaveCost(_ bill: Bill) {
        var run = AssemblerRun()
        if bill.submitted { run.submitted() }
        if bill.usage { run.apply(.usage(Usage(outputTokens: 1, totalTokens: 1))) }
        run.finish(bill.error)
        #expect(run.error?.billed == bill.billed)
    }

    @Test func hearingOfTheSubmissionAgainDoesNotMakeItCheaper() {
        var run = AssemblerRun()
        run.submitted()
        run.apply(.usage(Usage(outputTokens: 1, totalTokens: 1)))
        run.submitted()
        run.cancel()
        #expect(run.steps.contains("cancelled client yes"))
    }
}

/// Pictures that are stored before they are told.
@Suite struct JobAssemblerKeepingTests {
    @Test func withURLDeliveryThePictureWaitsForItsURL() {
        var run = AssemblerRun(SamplePlan.plan(delivery: .url), keepsImages: true)
        run.apply(.sampleImage())
        run.finish()
        #expect(run.steps == ["stage queued", "stage generating", "stage uploading", "store 0 png"])
        run.stored(0, .success(AssemblerRun.url))
        #expect(run.steps.suffix(3) == ["image 0 bytes url", "completed [0] []", "ended"])
        #expect(run.completion?.images.first?.url == AssemblerRun.url)
    }

    @Test func withBothItCarriesBytesAndURL() {
        var run = AssemblerRun(SamplePlan.plan(delivery: .both), keepsImages: true)
        run.apply(.sampleImage())
        run.finish()
        run.stored(0, .success(AssemblerRun.url))
        #expect(run.steps.suffix(3) == ["image 0 bytes url", "completed [0] []", "ended"])
    }

    @Test func inlineDeliveryDoesNotWaitButTheJobEndsOnlyWhenThePictureIsKept() {
        var run = AssemblerRun(SamplePlan.plan(delivery: .inline), keepsImages: true)
        run.apply(.sampleImage())
        run.finish()
        #expect(run.steps.suffix(3) == ["stage uploading", "image 0 bytes", "store 0 png"])
        run.stored(0, .success(AssemblerRun.url))
        #expect(run.steps.suffix(2) == ["completed [0] []", "ended"])
        #expect(run.completion?.images.first?.url == nil)
    }

    @Test func uploadingIsToldWithTheLastPicture() {
        var run = AssemblerRun(SamplePlan.plan(count: 2), keepsImages: true)
        run.apply(.sampleImage(0))
        run.stored(0, .success(nil))
        #expect(!run.steps.contains("stage uploading"))
        run.apply(.sampleImage(1))
        run.stored(1, .success(nil))
        run.finish()
        #expect(run.steps.contains("stage uploading"))
        #expect(run.steps.suffix(2) == ["completed [0, 1] []", "ended"])
    }

    @Test func aStoreThatFailsLosesAPictureOnlyWhereNothingElseCarriesIt() {
        let full = GatewayError(.storageFull, "full", billed: .yes)
        for (delivery, ending) in [
            (Delivery.url, "error storage_full yes"), (.both, "error storage_full yes"), (.inline, "completed [0] []"),
        ] {
            var run = AssemblerRun(SamplePlan.plan(delivery: delivery), keepsImages: true)
            run.apply(.sampleImage())
            run.finish()
            run.stored(0, .failure(full))
            #expect(run.steps.suffix(2) == [ending, "ended"], "\(delivery)")
        }
    }

    @Test func oneOfTwoStoredIsAPartialSuccess() {
        var run = AssemblerRun(SamplePlan.plan(count: 2, delivery: .url), keepsImages: true)
        run.apply(.sampleImage(0))
        run.apply(.sampleImage(1))
        run.stored(1, .success(AssemblerRun.url))
        run.finish()
        run.stored(0, .failure(GatewayError(.storageUnavailable, "gone", billed: .yes)))
        #expect(run.steps.suffix(2) == ["completed [1] [\"storage_unavailable\"]", "ended"])
    }

    @Test func theDeadlineWaitsForWhatIsBeingStored() {
        var run = AssemblerRun(SamplePlan.plan(count: 2, delivery: .url), keepsImages: true)
        run.apply(.sampleImage(0))
        run.finish(GatewayError(.deadlineExceeded, "late", billed: .maybe))
        #expect(!run.steps.contains("ended"))
        run.stored(0, .success(AssemblerRun.url))
        #expect(run.steps.suffix(2) == ["completed [0] [\"deadline_exceeded\"]", "ended"])
    }

    @Test func newsOfAPictureThatIsUnknownChangesNothing() {
        var run = AssemblerRun(SamplePlan.plan(delivery: .url), keepsImages: true)
        run.stored(0, .success(AssemblerRun.url))
        run.stored(5, .failure(GatewayError(.storageFull, "")))
        #expect(run.steps == ["stage queued"])
    }
}

/// Whatever an upstream does in whatever order, the promises about events hold.
@Suite struct JobAssemblerInvariantTests {
    private struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return self.state ^ (self.state >> 29)
        }
    }

    @Test(arguments: Delivery.allCases, [true, false]) func hold(_ delivery: Delivery, _ keeps: Bool) {
        for seed in 0..<300 {
            var dice = Dice(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15)
            let count = Int.random(in: 1...4, using: &dice)
            var run = AssemblerRun(
                SamplePlan.plan(count: count, partialImages: 2, delivery: delivery), keepsImages: keeps)
            for _ in 0..<Int.random(in: 0...20, using: &dice) { self.roll(&dice, &run) }
            run.finish()
            for index in 0..<count { run.stored(index, .success(AssemblerRun.url)) }
            self.check(run, "seed \(seed)")
        }
    }

    private func roll(_ dice: inout Dice, _ run: inout AssemblerRun) {
        let index = Int.random(in: -1...4, using: &dice)
        let after = Int64.random(in: 0...400, using: &dice)
        let error = GatewayError(.upstreamError, "no", billed: .maybe)
        switch Int.random(in: 0..<14, using: &dice) {
        case 0: run.submitted()
        case 1: run.apply(.accepted, after: after)
        case 2, 3:
            let stage = Stage.allCases.randomElement(using: &dice) ?? .queued
            let progress = Int.random(in: -10...1000, using: &dice)
            run.apply(.status(UpstreamStatus(stage: stage, progress: progress)), after: after)
        case 4, 5: run.apply(.samplePreview(index, number: Int.random(in: 0...5, using: &dice)), after: after)
        case 6, 7: run.apply(.sampleImage(index), after: after)
        case 8: run.apply(.sampleImage(index, payload: ByteBuffer(string: "AAAA")), after: after)
        case 9: run.apply(.imageFailed(imageIndex: index, error), after: after)
        case 10: run.flush(after: after)
        case 11: run.stored(index, Bool.random(using: &dice) ? .success(AssemblerRun.url) : .failure(error))
        case 12: if Int.random(in: 0..<6, using: &dice) == 0 { run.finish(error) }
        default: if Int.random(in: 0..<12, using: &dice) == 0 { run.cancel() }
        }
    }

    private func check(_ run: AssemblerRun, _ comment: Comment) {
        let events = run.written
        #expect(events.filter { $0.event.isTerminal }.count == 1, comment)
        #expect(events.last?.event.isTerminal == true, comment)
        #expect(run.steps.filter { $0 == "ended" }.count == 1 && run.steps.last == "ended", comment)
        #expect(!run.steps.contains("refused"), comment)
        #expect(zip(events, events.dropFirst()).allSatisfy { $0.stage <= $1.stage }, comment)
        #expect(zip(events, events.dropFirst()).allSatisfy { $0.progress <= $1.progress }, comment)
        #expect(events.allSatisfy { ($0.progress == 100) == ($0.stage == .completed) }, comment)
        let images = events.compactMap { if case .image(let image) = $0.event { image.imageIndex } else { nil } }
        #expect(Set(images).count == images.count, comment)
        guard let completion = run.completion else { return }
        #expect(completion.images.map(\.imageIndex) == images.sorted(), comment)
        let failed = completion.failures.map(\.imageIndex)
        #expect(Set(failed).count == failed.count && Set(failed).isDisjoint(with: images), comment)
    }
}
