import Dialects
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

/// `progressive`, `gallery` and `chat`: what their events carry, and how they read requests.
@Suite struct FrontendDialectsTests {
    static func frames(
        _ dialect: any Dialect, _ events: [SequencedEvent], delivery: Delivery? = nil, count: Int = 1
    ) throws -> [JSONNode] {
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.count = count
        let context = CanonicalJob.context(dialect, request: request, delivery: delivery)
        let stream = DialectDriving.stream(dialect, context, events)
        return try EventStreamReader.events(stream).map { try JSONDocument(ByteBuffer(string: $0.data)).root }
    }

    private static func image(_ index: Int) -> SequencedEvent {
        CanonicalJob.event(UInt32(10 + index), 0, .generating, 50, .image(CanonicalJob.image(index: index)))
    }

    private static let completed = CanonicalJob.event(
        90, 0, .completed, 100, .completed(CanonicalJob.completion(images: [])))

    // MARK: Pictures

    @Test func ofSeveralPicturesTheLastIsTheEnd() throws {
        let events = [Self.image(0), Self.image(2), Self.image(1), Self.completed]
        let frames = try Self.frames(ProgressiveDialect(), events, count: 3)
        #expect(frames.map { $0["type"]?.string } == ["image", "image", "completed"])
        #expect(frames.map { $0["image_index"]?.integer } == [0, 2, 1])
        #expect(frames.allSatisfy { $0["b64_json"]?.string == CanonicalJob.final && $0["url"]?.string != nil })
        #expect(frames.map { $0["usage"] != nil } == [false, false, true])
    }

    @Test func aPictureThatCameBeforeTheFailureIsStillTold() throws {
        let events = [Self.image(0), CanonicalJob.failed.events[4]]
        let frames = try Self.frames(ProgressiveDialect(), events, count: 2)
        #expect(frames.map { $0["type"]?.string } == ["image", "error"])
        let gallery = try Self.frames(GalleryDialect(), events, count: 2)
        #expect(gallery.map { $0["type"]?.string } == ["image", "error"])
    }

    @Test(arguments: [
        (Delivery.inline, true, false), (.url, false, true), (.both, true, true),
    ]) func progressiveDelivers(_ delivery: Delivery, _ bytes: Bool, _ url: Bool) throws {
        let frames = try Self.frames(ProgressiveDialect(), CanonicalJob.completed.events, delivery: delivery)
        let last = try #require(frames.last)
        #expect((last["b64_json"] != nil, last["url"] != nil) == (bytes, url))
        #expect(frames.contains { $0["type"]?.string == "partial_image" } == bytes)
        #expect(frames.contains { $0["preview_url"] != nil } == !bytes)
    }

    @Test func galleryCountsItsPictures() throws {
        let frames = try Self.frames(GalleryDialect(), [Self.image(0), Self.image(1), Self.completed], count: 2)
        #expect(frames.map { $0["type"]?.string } == ["image", "image", "complete"])
        #expect(frames[2]["metadata"]?["images"]?.integer == 2)
        let linked = try Self.frames(GalleryDialect(), CanonicalJob.completed.events, delivery: .url)
        #expect(linked.contains { $0["data"] != nil } == false)
        #expect(linked.contains { $0["url"]?.string?.hasPrefix("https://") == true })
    }

    @Test func chatTellsPicturesByURLAlone() throws {
        for delivery in [Delivery.url, .both] {
            let frames = try Self.frames(ChatDialect(), CanonicalJob.completed.events, delivery: delivery)
            let image = try #require(frames.compactMap { $0["image_completed"] }.first)
            #expect(image["url"]?.string?.hasPrefix("https://") == true && image["b64_json"] == nil)
            #expect(frames.contains { $0["image_partial"] != nil } == (delivery == .both))
            #expect(frames.last?["imageGenerated"]?.boolean == true)
            #expect(frames.last?["messageId"]?.string == CanonicalJob.job.text)
        }
    }

    @Test func chatWithoutAPictureSaysSo() throws {
        let events = [
            CanonicalJob.event(1, 0, .processing, 5, .textDelta("Hel")),
            CanonicalJob.event(2, 0, .processing, 5, .textDelta("lo")), Self.completed,
        ]
        let frames = try Self.frames(ChatDialect(), events)
        #expect(frames.map { $0["content"]?.string } == ["", "Hel", "lo", nil])
        #expect(frames.last?["imageGenerated"]?.boolean == false)
        let context = CanonicalJob.context(ChatDialect(), request: ImageRequest(operation: .generate, prompt: "p"))
        let answer = DialectDriving.answer(ChatDialect(), context, events)
        #expect(try JSONDocument(answer.body).root["content"]?.string == "Hello")
    }

    @Test func chatIsNamedByTheClientOrByTheJob() throws {
        for (body, expected) in [
            (#"{"message": "a", "chatId": "c-1"}"#, "c-1"),
            (#"{"message": "a"}"#, "chat_" + CanonicalJob.job.text.dropFirst(4)),
        ] {
            let request = try DialectDriving.decode(ChatDialect(), body).image
            let context = CanonicalJob.context(ChatDialect(), request: request)
            let answer = DialectDriving.answer(ChatDialect(), context, CanonicalJob.completed.events)
            #expect(try JSONDocument(answer.body).root["chatId"]?.string == expected)
        }
    }

    /// Words of an upstream and long addresses do not push an event with a URL over one network read.
    @Test(arguments: [ProgressiveDialect() as any Dialect, GalleryDialect(), ChatDialect()])
    func eventsWithURLsStayShort(_ dialect: any Dialect) throws {
        var image = CanonicalJob.image(url: "https://images.example/" + String(repeating: "u", count: 480))
        let long = String(repeating: "灯", count: 256)
        image.attributes = ImageAttributes(
            size: long, quality: long, background: "auto", outputFormat: long, createdAt: image.attributes.createdAt)
        (image.width, image.height) = (0, 0)
        let events = [CanonicalJob.event(1, 0, .uploading, 95, .image(image)), Self.completed]
        let id = String(repeating: "c", count: 128)
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.extensions["chat_id"] = .text(id)
        let context = CanonicalJob.context(dialect, request: request, delivery: .url)
        let stream = DialectDriving.stream(dialect, context, events)
        for frame in EventStreamReader.events(stream) where frame.data.contains("https://") {
            #expect(frame.data.utf8.count < 1200)
        }
    }

    // MARK: Requests

    private static func decode(_ members: String, operation: ImageRequest.Operation = .generate) throws -> ImageRequest
    {
        try DialectDriving.decode(ProgressiveDialect(), "{\"prompt\": \"p\"\(members)}", operation: operation).image
    }

    @Test(arguments: [
        ("\"size\": \"1024x1536\"", ImageRequest.Size.named("1024x1536")), ("\"size\": \"AUTO\"", .named("auto")),
        ("\"size\": \"Landscape\"", .aspectRatio(width: 3, height: 2)),
        ("\"orientation\": \"portrait\"", .aspectRatio(width: 2, height: 3)),
        ("\"size\": \"square\"", .aspectRatio(width: 1, height: 1)),
        ("\"aspectRatio\": \"16:9\"", .aspectRatio(width: 16, height: 9)),
        ("\"width\": 800, \"height\": 600", .pixels(width: 800, height: 600)),
        ("\"size\": \"huge\"", .named("huge")),
    ]) func readsSizes(_ members: String, _ size: ImageRequest.Size) throws {
        #expect(try Self.decode(", \(members)").size == size)
    }

    @Test(arguments: [
        ("\"quality\": \"draft\"", "low"), ("\"quality\": \"Standard\"", "medium"), ("\"quality\": \"hd\"", "high"),
        ("\"quality\": \"ultra\"", "high"), ("\"quality\": \"auto\"", "auto"), ("\"quality\": \"low\"", "low"),
        ("\"isDraft\": true, \"quality\": \"ultra\"", "low"), ("\"draft\": false, \"quality\": \"hd\"", "high"),
    ]) func readsQualities(_ members: String, _ quality: String) throws {
        #expect(try Self.decode(", \(members)").quality == quality)
    }

    @Test func readsBothSpellings() throws {
        let request = try Self.decode(
            #", "negativePrompt": "n", "outputFormat": "jpg", "partialImages": 9, "numImages": 3, "userId": "u", "seed": -1"#
        )
        #expect(request.negativePrompt == "n" && request.outputFormat == .jpeg && request.partialImages == 3)
        #expect(request.count == 3 && request.user == "u" && request.seed == -1)
        #expect(try Self.decode("").partialImages == nil)
        #expect(try Self.decode(#", "stream": false, "partial_images": 2"#).partialImages == 0)
    }

    @Test(arguments: [
        (#""size": 7"#, "size"), (#""n": 0"#, "n"), (#""n": 11"#, "n"), (#""partialImages": -1"#, "partialImages"),
        (#""format": "bmp" "#, "format"), (#""aspect_ratio": "wide:9""#, "aspect_ratio"), (#""seed": 1.5"#, "seed"),
        (#""image": "https://images.example/a.png""#, "image"), (#""image": "%%%%""#, "image"),
        (#""images": "x""#, "images"), (#""mask": {"id": 1}"#, "mask"),
    ]) func namesWhatIsWrong(_ member: String, _ parameter: String) throws {
        let error = DialectDriving.refusal(ProgressiveDialect(), "{\"prompt\": \"p\", \(member)}", operation: .edit)
        #expect(error?.code == .invalidParameter && error?.parameter == parameter, "\(String(describing: error))")
    }

    @Test(arguments: [ProgressiveDialect() as any Dialect, GalleryDialect()])
    func readsPicturesToEdit(_ dialect: any Dialect) throws {
        let png = CanonicalJob.final
        for members in [
            #""image": "data:image/png;base64,\#(png)""#, #""image": "\#(png)""#,
            #""images": ["data:image/png;base64,\#(png)"]"#, #""image": {"b64_json": "\#(png)"}"#,
            #""images": [{"url": "data:image/png;base64,\#(png)"}]"#,
        ] {
            let image = try DialectDriving.decode(dialect, "{\"prompt\": \"p\", \(members)}", operation: .edit).image
            guard case .base64(let text) = image.images.first?.content else {
                Issue.record("no picture in \(members.prefix(40))")
                continue
            }
            #expect(String(buffer: text) == png)
        }
        let form = Form.body([
            .text("prompt", "p"), .file("image", "a.png", "image/png", "one"),
            .file("images[]", "b.png", "image/png", "two"),
            .file("mask", "m.png", "image/png", "mask"), .text("partialImages", "1"),
        ])
        let image = try DialectDriving.decode(dialect, form, operation: .edit, contentType: Form.contentType).image
        #expect(image.images.count == 2 && image.mask != nil && image.partialImages == 1)
        #expect(DialectDriving.refusal(dialect, "{\"prompt\": \"p\"}", operation: .edit)?.parameter == "image")
        #expect(DialectDriving.refusal(dialect, "{\"prompt\": \"p\", \"image\": \"\(png)\"}")?.parameter == "image")
    }
}
