import Dialects
import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

@Suite struct StagesTests {
    static let dialect = StagesDialect()

    static func context(_ body: String = "{\"prompt\": \"p\"}", count: Int = 1) throws -> EncoderContext {
        var request = try DialectDriving.decode(Self.dialect, body).image
        request.count = count
        return CanonicalJob.context(Self.dialect, request: request)
    }

    @Test func framesAreASCIIAndIsolated() throws {
        #expect(Self.dialect.traits.isolatedWrites)
        let context = try DialectConformanceTests.context(Self.dialect)
        let frames = DialectDriving.frames(Self.dialect.makeStreamEncoder(context), CanonicalJob.completed.events)
        #expect(frames.map(\.isEmpty) == [false, false, false, true, true, true, true, false])
        for frame in frames { #expect(frame.allSatisfy { $0 < 0x80 }) }
    }

    /// Long prompts, long URLs and many pictures shrink the frame's extras, never its size limit.
    @Test(arguments: [(1, 100), (1, 700), (4, 200), (10, 400)]) func framesStayShort(_ count: Int, _ urlLength: Int)
        throws
    {
        let prompt = String(repeating: "灯台🌅", count: 400)
        let blog = String(repeating: "b", count: 64)
        let context = try Self.context(
            "{\"prompt\": \"\(prompt)\", \"blog_id\": \"\(blog)\", \"blog_job_id\": \"\(blog)\"}", count: count)
        let images = (0..<count).map { index in
            let start = "https://images.example/v1/images/\(index)?signature="
            return CanonicalJob.image(
                index: index, url: start + String(repeating: "s", count: urlLength - start.utf8.count))
        }
        let events =
            images.enumerated().map { CanonicalJob.event(UInt32($0 + 1), 0, .uploading, 95, .image($1)) }
            + [CanonicalJob.event(90, 0, .completed, 100, .completed(CanonicalJob.completion(images: images)))]
        let frames = DialectDriving.frames(Self.dialect.makeStreamEncoder(context), events)
        for frame in frames { #expect(frame.count <= 1200) }
        let all = String(decoding: frames.flatMap { $0 }, as: UTF8.self)
        for image in images { #expect(all.contains(image.url?.text ?? "none")) }
    }

    @Test(arguments: [
        ("draft", "low", true), ("standard", "medium", false), ("high", "high", false), ("ultra", "high", false),
    ])
    func mapsQuality(_ word: String, _ unified: String, _ isDraft: Bool) throws {
        let image = try DialectDriving.decode(Self.dialect, "{\"prompt\": \"p\", \"quality\": \"\(word)\"}").image
        #expect(image.quality == unified)
        #expect(image.extensions["is_draft"] == (isDraft ? .boolean(true) : nil))
    }

    @Test(arguments: [
        "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21", "landscape", "portrait", "square",
    ])
    func readsRatios(_ ratio: String) throws {
        let image = try DialectDriving.decode(Self.dialect, "{\"prompt\": \"p\", \"aspect_ratio\": \"\(ratio)\"}").image
        guard case .aspectRatio = image.size else {
            Issue.record("no ratio")
            return
        }
    }

    @Test(arguments: [
        ("\"style\": \"baroque\"", "style"), ("\"aspect_ratio\": \"5:4\"", "aspect_ratio"),
        ("\"quality\": \"best\"", "quality"),
        ("\"seed\": \"x\"", "seed"), ("\"blog_id\": {}", "blog_id"), ("\"is_draft\": 1", "is_draft"),
        ("\"blog_id\": \"\(String(repeating: "x", count: 65))\"", "blog_id"),
    ])
    func refusesBadValuesWith422(_ member: String, _ parameter: String) throws {
        let error = try #require(DialectDriving.refusal(Self.dialect, "{\"prompt\": \"p\", \(member)}"))
        #expect(error.code == .invalidParameter && error.parameter == parameter)
        #expect(Self.dialect.render(error, requestID: "r").status == 422)
    }

    @Test func ignoresUnknownNames() throws {
        #expect(
            try DialectDriving.decode(Self.dialect, "{\"prompt\": \"p\", \"theme\": {\"a\": 1}}").image.prompt == "p")
    }

    @Test func endpointsDecideTheMode() throws {
        let modes = try Self.dialect.endpoints.filter { $0.method == .post && $0.action != .cancel }.map { endpoint in
            try Self.dialect.decode(
                DialectDriving.request("{\"prompt\": \"p\"}".utf8), endpoint: endpoint, operation: .generate
            ).mode
        }
        #expect(modes == [.queue, .stream])
    }

    @Test func listsJobs() throws {
        let context = try Self.context()
        for (jobs, cursor) in [([CanonicalJob.completed, .failed], "next"), ([], nil)] as [([CanonicalJob], String?)] {
            let response = Self.dialect.render(jobs.map { ($0.snapshot, context) }, nextCursor: cursor)
            let object = try JSONSerialization.jsonObject(with: Data(response.body.readableBytesView)) as? [String: Any]
            #expect(
                (object?["jobs"] as? [[String: Any]])?.map { $0["status"] as? String }
                    == jobs.map { $0.snapshot.statusName })
            #expect(object?["next_cursor"] as? String == cursor)
        }
    }
}
