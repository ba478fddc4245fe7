import Dialects
import Foundation
import GatewayTesting
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@Suite struct UnifiedTests {
    static let dialect = UnifiedDialect()

    static func context(_ delivery: Delivery = .inline, _ dialect: any Dialect = dialect) throws -> EncoderContext {
        try DialectConformanceTests.context(dialect, delivery: delivery)
    }

    /// Every event of every job, in every delivery and both framings, against the published schema.
    @Test(arguments: CanonicalJob.allCases, Delivery.allCases)
    func eventsFitTheSchema(_ job: CanonicalJob, _ delivery: Delivery) throws {
        let schema = try SchemaValidator.events()
        let sse = DialectDriving.stream(Self.dialect, try Self.context(delivery), job.events)
        let events = EventStreamReader.events(sse)
        #expect(events.count == job.events.count)
        for event in events { #expect(schema.problems(in: event.data.utf8) == [], "\(event.data)") }
        let lines = DialectDriving.stream(NDJSONDialect(), try Self.context(delivery, NDJSONDialect()), job.events)
            .split(separator: 0x0A)
        #expect(lines.map { String(decoding: $0, as: UTF8.self) } == events.map(\.data))
    }

    @Test func framesCarryTypeIDAndRetry() throws {
        let job = CanonicalJob.completed
        let events = EventStreamReader.events(DialectDriving.stream(Self.dialect, try Self.context(), job.events))
        #expect(events.map(\.retry) == [2000] + [Int?](repeating: nil, count: 7))
        for (event, entry) in zip(events, job.events) {
            #expect(event.id == EventID(job: CanonicalJob.job, sequence: entry.sequence).description)
            #expect(event.data.hasPrefix("{\"type\":\"\(event.name ?? "")\","))
        }
        let sizes = events.filter { $0.data.contains("b64_json") }.map { $0.data.hasSuffix("==\"}") }
        #expect(sizes == [true, true, true])
    }

    @Test(arguments: CanonicalJob.allCases) func gapHasNoIDAndFitsTheSchema(_ job: CanonicalJob) throws {
        let schema = try SchemaValidator.events()
        for dialect in [Self.dialect as any Dialect, NDJSONDialect()] {
            var encoder = dialect.makeStreamEncoder(try Self.context(.both, dialect))
            var out = FrameOutput()
            encoder.encode(
                LogGap(reason: .restarted, oldest: EventSequence(epoch: 2, number: 1), snapshot: job.snapshot),
                into: &out)
            let bytes = DialectDriving.bytes(out.take().pieces)
            guard dialect.name == "unified" else {
                #expect(schema.problems(in: bytes) == [])
                continue
            }
            let events = EventStreamReader.events(bytes)
            try #require(events.count == 1)
            #expect(events[0].name == "gap" && events[0].id == nil && events[0].retry == 2000)
            #expect(schema.problems(in: events[0].data.utf8, definition: "gap") == [])
        }
        var json = JSONWriter()
        UnifiedSnapshot.write(job.snapshot, publicURL: "https://images.example", into: &json)
        #expect(schema.problems(in: json.buffer.readableBytesView, definition: "snapshot") == [])
    }

    @Test(arguments: [(Delivery.inline, true, false), (.url, false, true), (.both, true, true)])
    func deliveryDecidesWhatIsCarried(_ delivery: Delivery, _ payload: Bool, _ url: Bool) throws {
        let image = CanonicalJob.completed.events[6]
        let frame = String(
            decoding: DialectDriving.stream(Self.dialect, try Self.context(delivery), [image]), as: UTF8.self)
        #expect(frame.contains("b64_json") == payload)
        #expect(frame.contains("\"url\"") == url)
    }

    /// With nothing of the kind asked for, the other kind stands in: no finished picture without a way to it.
    @Test func deliveryFallsBack() throws {
        var bare = CanonicalJob.image()
        bare.url = nil
        let kept = CanonicalJob.image(payload: nil)
        for (image, delivery, member) in [(bare, Delivery.url, "\"b64_json\""), (kept, .inline, "\"url\"")] {
            let event = CanonicalJob.event(7, 0, .uploading, 95, .image(image))
            let frame = DialectDriving.stream(Self.dialect, try Self.context(delivery), [event])
            #expect(String(decoding: frame, as: UTF8.self).contains(member))
        }
    }

    @Test func partialFailureIsListed() throws {
        let completion = CanonicalJob.completion(
            failures: [ImageFailure(imageIndex: 1, code: .refused, message: "Refused")])
        let event = CanonicalJob.event(8, 0, .completed, 100, .completed(completion))
        let data = EventStreamReader.events(DialectDriving.stream(Self.dialect, try Self.context(), [event]))[0].data
        #expect(try SchemaValidator.events().problems(in: data.utf8) == [])
        #expect(data.contains("\"failures\":[{\"image_index\":1,\"code\":\"refused\",\"message\":\"Refused\"}]"))
    }

    @Test func decodesEveryField() throws {
        let body = """
            {"prompt": "p", "negative_prompt": "n", "model": "m-1", "n": 3, "width": 640, "height": 480, "quality": "low",
             "output_format": "webp", "output_compression": 80, "background": "opaque", "style": "anime", "seed": -5,
             "partial_images": 3, "user": "u", "metadata": {"a": "x", "b": 2, "c": true}, "stream": false}
            """
        let decoded = try DialectDriving.decode(Self.dialect, body)
        let image = decoded.image
        #expect(decoded.mode == .wait)
        #expect(image.prompt == "p" && image.negativePrompt == "n" && image.model == "m-1" && image.count == 3)
        #expect(image.size == .pixels(width: 640, height: 480) && image.quality == "low")
        #expect(image.outputFormat == .webp && image.outputCompression == 80 && image.background == "opaque")
        #expect(image.style == "anime" && image.seed == -5 && image.partialImages == 3 && image.user == "u")
        #expect(
            image.metadata == ["a": "x", "b": "2", "c": "true"])
        let short = try DialectDriving.decode(Self.dialect, "{\"prompt\": \"p\", \"model\": null}")
        #expect(
            short.mode == nil && short.image.count == 1 && short.image.partialImages == nil && short.image.model == nil)
    }

    @Test(arguments: [
        ("\"size\": \"1024x1024\"", ImageRequest.Size.named("1024x1024")), ("\"size\": \"auto\"", .named("auto")),
        ("\"size\": \"landscape_4_3\"", .named("landscape_4_3")),
        ("\"aspect_ratio\": \"16:9\"", .aspectRatio(width: 16, height: 9)),
    ])
    func readsSizes(_ member: String, _ size: ImageRequest.Size) throws {
        #expect(try DialectDriving.decode(Self.dialect, "{\"prompt\": \"p\", \(member)}").image.size == size)
    }

    @Test(arguments: [
        ("\"sise\": \"auto\"", "sise", "size"), ("\"negativ_prompt\": \"a\"", "negativ_prompt", "negative_prompt"),
        ("\"zzzzzz\": 1", "zzzzzz", "unknown"), ("\"n\": 0", "n", "1 to 10"), ("\"n\": 11", "n", "1 to 10"),
        ("\"n\": 1.5", "n", "integer"), ("\"n\": \"2\"", "n", "not a string"),
        ("\"n\": 99999999999999999999", "n", "integer"),
        ("\"stream\": \"true\"", "stream", "not a string"), ("\"partial_images\": 4", "partial_images", "0 to 3"),
        ("\"size\": \"12\"", "size", "WIDTHxHEIGHT"), ("\"size\": \"0x10\"", "size", "WIDTHxHEIGHT"),
        ("\"size\": \"a b\"", "size", "WIDTHxHEIGHT"), ("\"aspect_ratio\": \"16x9\"", "aspect_ratio", "16:9"),
        ("\"aspect_ratio\": \"0:9\"", "aspect_ratio", "16:9"), ("\"width\": 10", "width", "height"),
        ("\"height\": 10", "height", "width"), ("\"size\": \"auto\", \"width\": 1, \"height\": 1", "width", "combined"),
        ("\"output_format\": \"pgn\"", "output_format", "png"),
        ("\"output_compression\": 101", "output_compression", "100"),
        ("\"model\": \"a\\nb\"", "model", "ASCII"), ("\"model\": \"\"", "model", "ASCII"),
        ("\"metadata\": [1]", "metadata", "object"), ("\"metadata\": {\"a\": {}}", "metadata.a", "string"),
        ("\"images\": [\"data:image/png;base64,aGk=\"]", "images", "generates"),
        ("\"seed\": true", "seed", "boolean"),
    ])
    func refuses(_ member: String, _ parameter: String, _ hint: String) {
        let error = DialectDriving.refusal(Self.dialect, "{\"prompt\": \"p\", \(member)}")
        #expect(error?.code == .invalidParameter)
        #expect(error?.parameter == parameter)
        #expect(error?.message.contains(hint) == true, "\(error?.message ?? "taken")")
    }

    @Test func refusesConversations() {
        let error = DialectDriving.refusal(Self.dialect, "{\"messages\": []}")
        #expect(error?.code == .unsupportedParameter && error?.parameter == "messages")
    }

    @Test func readsPictures() throws {
        let body = """
            {"prompt": "p", "images": ["data:image/png;base64,aGk=", {"b64_json": "aGk", "media_type": "image/JPEG"}],
             "mask": "data:;base64,aGk\\u003d"}
            """
        let image = try DialectDriving.decode(Self.dialect, body, operation: .edit).image
        #expect(image.images.map(\.mediaType) == ["image/png", "image/jpeg"])
        for picture in image.images + [try #require(image.mask)] {
            guard case .base64(let text) = picture.content else {
                Issue.record("not base64")
                continue
            }
            #expect(String(buffer: text) == "aGk=")
        }
    }

    @Test(arguments: [
        ("[\"https://example.com/a.png\"]", "not fetched"), ("[\"HTTP://example.com/a.png\"]", "not fetched"),
        ("[\"file:///etc/passwd\"]", "data: URL"), ("[\"data:image/png,hi\"]", "base64"),
        ("[\"data:text/html;base64,aGk=\"]", "media type"), ("[\"data:image/png;base64,\"]", "empty"),
        ("[\"data:image/png;base64,a*b=\"]", "base64"), ("[7]", "data: URL"), ("[]", "at least one"),
        ("\"data:image/png;base64,aGk=\"", "array"), ("[{\"b64_json\": 7}]", "b64_json"),
        ("[{\"b64_json\": \"aGk=\", \"url\": \"x\"}]", "only"),
        ("[\(Array(repeating: "\"data:;base64,aGk=\"", count: 17).joined(separator: ","))]", "at most 16"),
    ])
    func refusesPictures(_ images: String, _ hint: String) {
        let error = DialectDriving.refusal(Self.dialect, "{\"prompt\": \"p\", \"images\": \(images)}", operation: .edit)
        #expect(error?.code == .invalidParameter)
        #expect(error?.parameter?.hasPrefix("images") == true)
        #expect(error?.message.contains(hint) == true, "\(error?.message ?? "taken")")
    }

    @Test func readsForms() throws {
        let form = Form.body([
            .text("prompt", "p"), .file("image[]", "a.png", "image/png", "one"), .text("n", "2"),
            .file("image[]", "b.png", "application/octet-stream", "two"), .file("mask", "m.png", "image/png", "hole"),
            .text("stream", "true"),
        ])
        let decoded = try DialectDriving.decode(Self.dialect, form, operation: .edit, contentType: Form.contentType)
        #expect(decoded.mode == .stream && decoded.image.count == 2 && decoded.image.prompt == "p")
        #expect(decoded.image.images.map(\.fileName) == ["a.png", "b.png"])
        #expect(decoded.image.images.map(\.mediaType) == ["image/png", nil])
        guard case .bytes(let mask)? = decoded.image.mask?.content else {
            Issue.record("no mask")
            return
        }
        #expect(String(buffer: mask) == "hole")
        #expect(
            DialectDriving.refusal(Self.dialect, form, operation: .generate, contentType: Form.contentType)?.code
                == .unsupportedMediaType)
    }
}
