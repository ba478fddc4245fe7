import NIOCore
import Testing

@testable import Simulator

@Suite struct StagesTests {
    private static func script(_ text: String) throws -> SimulatorScript {
        var script = SimulatorScript()
        try script.apply(text)
        return script
    }

    private static func job(_ text: String = "") throws -> StagesJob {
        StagesJob(
            start: 1_781_870_400_123, nonce: 77, picture: Picture(key: 0xDEAD_BEEF_0123_4567, width: 1344, height: 768),
            count: 3, isDraft: true, script: try Self.script(text))
    }

    @Test(arguments: [
        "", "duration=1ms queue=24h position=9999", "payload=8MiB chunk=1", "stall=mid truncate=event_7",
        "stall=after_preview_2 truncate=4294967295", "malformed=sse fail=flat no_terminal unknown_event",
        "refuse=stream",
        "malformed=json fail", "stall=head", "chunk=65536",
    ])
    func anIDHoldsItsJob(text: String) throws {
        let job = try Self.job(text)
        #expect(job.id.utf8.count <= CompactID.maximumLength)
        #expect(job.id.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) })
        #expect(StagesJob(id: job.id) == job)
    }

    @Test func noAlteredIDIsAJob() throws {
        let id = try Self.job("fail").id
        for index in id.indices {
            for other in ["A", "z", "-", "!", "é", "="] where String(id[index]) != other {
                #expect(StagesJob(id: id.replacingCharacters(at: index, with: other)) == nil)
            }
            #expect(StagesJob(id: String(id[..<index])) == nil)
        }
        for other in [id + "A", "", "job_", "img_" + id.dropFirst(4), String(repeating: "A", count: 4096)] {
            #expect(StagesJob(id: other) == nil)
        }
    }

    @Test func anImageIDHoldsItsPicture() throws {
        let picture = Picture(key: 9, width: 2048, height: 16, transparent: true)
        let read = try #require(ImageID(ImageID(picture: picture, payload: 4096).text))
        #expect(read.picture == picture)
        #expect(read.payload == 4096)
        #expect(ImageID(try Self.job().id) == nil)
        #expect(StagesJob(id: ImageID(picture: picture, payload: nil).text) == nil)
    }

    private static let courses:
        [(script: String, age: Int64, stage: StagesTimeline.Stage, progress: Int, position: Int?)] = [
            ("queue=1s duration=10s position=4", 0, .queued, 0, 4),
            ("queue=1s duration=10s position=4", 500, .queued, 0, 2),
            ("queue=1s duration=10s position=4", 999, .queued, 0, 1),
            ("queue=1s duration=10s position=4", -5, .queued, 0, 4),
            ("queue=1s duration=10s", 1000, .processing, 5, nil),
            ("queue=1s duration=10s", 1500, .generating, 10, nil),
            ("queue=1s duration=10s", 10_000, .uploading, 92, nil),
            ("queue=1s duration=10s", 11_000, .completed, 100, nil),
            ("queue=0 duration=0", 0, .completed, 100, nil),
            ("queue=0 duration=10s fail", 4999, .generating, 51, nil),
            ("queue=0 duration=10s fail", 5000, .error, 50, nil),
            ("queue=0 duration=10s stall=mid", 86_400_000, .generating, 51, nil),
            ("queue=0 duration=0 stall=mid", 86_400_000, .queued, 0, 0),
        ]

    @Test(arguments: courses)
    func theAgeDecides(
        script: String, age: Int64, stage: StagesTimeline.Stage, progress: Int, position: Int?
    ) throws {
        let state = StagesTimeline(try Self.script(script)).state(at: age)
        #expect(state == .init(stage: stage, progress: progress, position: position))
    }

    @Test(arguments: [
        "", "queue=0", "duration=0", "queue=0 duration=0", "position=9999", "fail", "stall=mid", "profile=slow",
    ])
    func progressNeverFallsAndEndsOnce(text: String) throws {
        let script = try Self.script(text)
        let timeline = StagesTimeline(script)
        let states = timeline.moments.map { timeline.state(at: $0) }
        #expect(timeline.moments == timeline.moments.sorted())
        #expect(states.map(\.progress) == states.map(\.progress).sorted() || script.fail != nil)
        #expect(states.filter(\.isTerminal).count == (timeline.stalls ? 0 : 1))
    }

    @Test(arguments: [
        ("1:1", 1024, 1024), ("16:9", 1360, 768), ("9:16", 768, 1360), ("square", 1024, 1024), ("portrait", 832, 1248),
        ("21:9", 1568, 672),
    ])
    func ratiosBecomeSizes(ratio: String, width: Int, height: Int) throws {
        let size = try StagesRequest.size(ratio: ratio, draft: false)
        #expect(size.width == width)
        #expect(size.height == height)
    }

    @Test(arguments: ["", "1", "0:1", "4:1", "1:-1", "a:b", "1:1:1", "101:100"])
    func otherRatiosAreRefused(ratio: String) {
        #expect(throws: SimulatorError.self) { try StagesRequest.size(ratio: ratio, draft: false) }
    }

    @Test func theOldestCancellationsAreForgotten() {
        let cancelled = CancelledJobs(capacity: 2)
        for id in ["a", "b", "b", "c"] { cancelled.insert(id) }
        #expect(!cancelled.contains("a"))
        #expect(cancelled.contains("b") && cancelled.contains("c"))
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (1_781_870_400_123, "2026-06-19T12:00:00.123Z"),
        (951_827_696_789, "2000-02-29T12:34:56.789Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ])
    func datesAreRFC3339(milliseconds: Int64, text: String) {
        #expect(SimulatorTime.text(unixMilliseconds: milliseconds) == text)
    }
}

extension String {
    fileprivate func replacingCharacters(at index: Index, with text: String) -> String {
        self[..<index] + text + self[self.index(after: index)...]
    }
}
