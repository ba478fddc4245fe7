import Admission
import HTTPTypes
import ImageGeneration
import Testing

@testable import Gateway

@Suite struct CostTableTests {
    private static let table = CostTable(
        images: [("*", 1), ("1024x1024/*", 2), ("1024x1024/high", 4), ("*/high", 3), ("*x*/low", 0)], preview: 0.2)

    struct Case: Sendable {
        var size: ImageRequest.Size?
        var quality: String?
        var count = 1
        var previews: Int?
        var cost: Int64
    }

    @Test(arguments: [
        Case(cost: 1000), Case(size: .named("1024x1024"), quality: "high", cost: 4000),
        Case(size: .pixels(width: 1024, height: 1024), quality: "high", cost: 4000),
        Case(size: .named("1024x1024"), quality: "low", cost: 2000),
        Case(size: .named("auto"), quality: "high", cost: 3000),
        Case(size: .aspectRatio(width: 16, height: 9), quality: "high", cost: 3000),
        // Nothing is for nothing: the least that can be counted.
        Case(size: .named("512x512"), quality: "low", cost: 1),
        Case(count: 3, cost: 3000), Case(previews: 3, cost: 1600), Case(count: 4, previews: 2, cost: 5600),
        Case(size: .named("1024x1024"), quality: "high", count: 2, previews: 1, cost: 8400),
    ]) func weighs(_ one: Case) {
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        (request.size, request.quality, request.count) = (one.size, one.quality, one.count)
        request.partialImages = one.previews
        #expect(Self.table.cost(of: request) == one.cost)
    }

    @Test func withoutATableEveryPictureIsOneUnit() {
        var request = ImageRequest(operation: .generate, prompt: "a lake")
        (request.count, request.partialImages) = (2, 3)
        #expect(CostTable(images: [], preview: 0).cost(of: request) == 2000)
    }

    @Test(arguments: [
        (Int64(0), "0ms"), (1, "1ms"), (20_000_000, "20ms"), (999_000_001, "1000ms"), (1_000_000_000, "1s"),
        (11_000_000_001, "12s"), (90_000_000_000, "1m30s"), (360_000_000_000, "6m0s"), (7_205_000_000_000, "2h0m5s"),
    ]) func durationsAreWrittenAsOpenAIDoes(_ nanoseconds: Int64, _ text: String) {
        #expect(LimitFields.duration(nanoseconds) == text)
    }
}
