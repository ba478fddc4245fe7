import ImageGeneration
import Testing

@testable import Gateway

@Suite struct DerivedProgressTests {
    private static let stages: [Stage] = [.queued, .processing, .generating, .uploading]

    @Test(arguments: stages) func startsAtTheFloorAndNeverReachesTheNextStage(_ stage: Stage) {
        let progress = DerivedProgress(stage: stage, median: 10_000)
        #expect(progress.value(after: 0) == stage.progressFloor)
        #expect(progress.value(after: -5) == stage.progressFloor)
        #expect(progress.value(after: 10_000_000) <= stage.progressFloor + stage.progressShare)
        #expect(progress.value(after: .max) < 100)
    }

    @Test(arguments: stages, [1, 500, 30_000]) func neverFalls(_ stage: Stage, _ median: Int) {
        let progress = DerivedProgress(stage: stage, median: median)
        let values = stride(from: 0, to: 5 * median, by: max(1, median / 100)).map { progress.value(after: $0) }
        #expect(zip(values, values.dropFirst()).allSatisfy { $0 <= $1 })
    }

    /// Waking at the moment it names shows more than before, and a moment earlier would not have.
    @Test(arguments: stages, [200, 30_000]) func theNextRiseIsWhereTheValueRises(_ stage: Stage, _ median: Int) throws {
        let progress = DerivedProgress(stage: stage, median: median)
        var shown = stage.progressFloor
        while let rise = progress.nextRise(above: shown) {
            #expect(progress.value(after: rise) > shown)
            #expect(progress.value(after: max(0, rise - 3)) <= shown)
            shown = progress.value(after: rise)
        }
        #expect(shown < stage.progressFloor + stage.progressShare)
    }

    @Test func aValueFromTheUpstreamAheadOfTheGuessIsWaitedFor() throws {
        let progress = DerivedProgress(stage: .generating, median: 1000)
        let rise = try #require(progress.nextRise(above: 60))
        #expect(progress.value(after: rise) == 61)
        #expect(progress.nextRise(above: 95) == nil)
        #expect(progress.nextRise(above: 500) == nil)
    }

    @Test(arguments: [Stage.completed, .error, .cancelled]) func aStageThatIsAnEndNeverRises(_ stage: Stage) {
        #expect(DerivedProgress(stage: stage, median: 1000).nextRise(above: 0) == nil)
    }
}

@Suite struct ProgressMediansTests {
    @Test func assumesThirtySecondsAtFirst() {
        #expect(ProgressMedians().median(for: SamplePlan.plan()) == 30_000)
    }

    @Test func keepsTheLastFiftyByUpstreamAndModel() {
        let medians = ProgressMedians()
        let plan = SamplePlan.plan(model: "a")
        for _ in 0..<50 { medians.record(100, for: plan) }
        for _ in 0..<26 { medians.record(900, for: plan) }
        #expect(medians.median(for: plan) == 900)
        #expect(medians.median(for: SamplePlan.plan(model: "b")) == 30_000)
    }

    @Test func aMedianIsNeverZero() {
        let medians = ProgressMedians()
        medians.record(0, for: SamplePlan.plan())
        #expect(medians.median(for: SamplePlan.plan()) == 1)
    }

    @Test func modelsThatClientsInventDoNotGrowTheTable() {
        let medians = ProgressMedians()
        for index in 0..<2000 { medians.record(7, for: SamplePlan.plan(model: "model-\(index)")) }
        #expect(medians.median(for: SamplePlan.plan(model: "model-0")) == 7)
        #expect(medians.median(for: SamplePlan.plan(model: "model-1999")) == 30_000)
    }
}
