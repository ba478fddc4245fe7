import Dialects
import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

@Suite struct OpenAIResponsesTests {
    static let dialect = OpenAIResponsesDialect()
    static let tool = "\"tools\": [{\"type\": \"image_generation\", \"partial_images\": 2}]"
    static let data = "data:image/png;base64,iVBORw0KGgo="

    static func decode(_ members: String) throws -> DecodedRequest {
        try DialectDriving.decode(Self.dialect, "{\(members)}")
    }

    // MARK: Streams

    struct Frame: Equatable {
        var number: UInt64
        var text: String
    }

    static func frames(_ encoder: any DialectEncoder, _ events: [SequencedEvent]) throws -> [Frame] {
        let bytes = DialectDriving.frames(encoder, events).flatMap { $0 }
        return try EventStreamReader.events(bytes).map { event in
            let object = try JSONSerialization.jsonObject(with: Data(event.data.utf8)) as? [String: Any]
            #expect(object?["type"] as? String == event.name)
            return Frame(number: UInt64(try #require(object?["sequence_number"] as? Int)), text: event.data)
        }
    }

    static func resumed(_ events: [SequencedEvent], after number: UInt64) throws -> [Frame] {
        let call = DialectDriving.call(
            Self.dialect.endpoints[1], query: [("stream", "true"), ("starting_after", "\(number)")])
        let wish = try Self.dialect.follow(call)
        guard case .part(let part) = wish.position, wish.form == .stream else {
            throw GatewayError(.internal, "no position")
        }
        let request = try DialectConformanceTests.context(Self.dialect).request
        let context = CanonicalJob.context(Self.dialect, request: request, call: call, seen: part)
        var encoder = Self.dialect.makeStreamEncoder(context)
        for event in events where event.sequence.number < part.number { encoder.skip(event) }
        return try Self.frames(encoder, events.filter { $0.sequence.number >= part.number })
    }

    @Test(arguments: CanonicalJob.allCases) func everyFrameIsAPlaceToResumeAt(_ job: CanonicalJob) throws {
        let context = try DialectConformanceTests.context(Self.dialect)
        let all = try Self.frames(Self.dialect.makeStreamEncoder(context), job.events)
        #expect(all.map(\.number) == Set(all.map(\.number)).sorted() && all.first?.number == 0)
        for (index, frame) in all.enumerated() {
            #expect(try Self.resumed(job.events, after: frame.number) == Array(all[(index + 1)...]), "\(frame.number)")
        }
    }

    /// What later events supersede is gone from the log. The rest comes once, whatever it was that the client had seen.
    @Test func supersededEventsLeaveNoDoubles() throws {
        var events = CanonicalJob.completed.events
        events.insert(
            CanonicalJob.event(
                9, 450, .generating, 20, .stage(StageChange(message: "Still developing", elapsedMilliseconds: 450))),
            at: 5)
        let inOrder = events.enumerated().map { index, event in
            CanonicalJob.event(UInt32(index + 1), Int64(index), event.stage, event.progress, event.event)
        }
        let context = try DialectConformanceTests.context(Self.dialect)
        let all = try Self.frames(Self.dialect.makeStreamEncoder(context), inOrder)
        // Event 3 said that the work began, 4 and 5 were previews; 6 and the picture supersede them.
        let left = inOrder.filter { ![3, 4, 5].contains($0.sequence.number) }
        func essence(_ frames: some Sequence<Frame>) -> [String] {
            frames.filter { !$0.text.contains("partial_image_b64") }.map {
                $0.text.replacing(#/"sequence_number":\d+/#, with: "")
            }
        }
        for (index, frame) in all.enumerated() {
            let rest = try Self.resumed(left, after: frame.number)
            #expect(rest.allSatisfy { $0.number > frame.number })
            #expect(essence(all[...index]) + essence(rest) == essence(all), "\(frame.number)")
        }
    }

    @Test func backgroundBeginsInAQueue() throws {
        let request = try Self.decode("\"input\": \"p\", \"background\": true, \(Self.tool)")
        #expect(request.mode == .queue && request.image.partialImages == 2)
        let context = CanonicalJob.context(Self.dialect, request: request.image)
        let text = String(
            decoding: DialectDriving.stream(Self.dialect, context, CanonicalJob.completed.events), as: UTF8.self)
        #expect(text.contains("event: response.queued\n") && text.contains("\"status\":\"queued\""))
    }

    /// Pictures, at most as many previews as asked for, and failures beside them.
    @Test func severalPictures() throws {
        var request = try Self.decode("\"input\": \"p\", \"stream\": true, \(Self.tool)").image
        request.partialImages = 1
        let failure = ImageFailure(imageIndex: 2, code: .refused, message: "No.")
        let events: [(Stage, JobEvent)] = [
            (.generating, .partialImage(CanonicalJob.preview(0))),
            (.generating, .partialImage(CanonicalJob.preview(1))),
            (.generating, .partialImage(CanonicalJob.preview(0, imageIndex: 2))),
            (.uploading, .image(CanonicalJob.image())), (.uploading, .image(CanonicalJob.image(index: 1))),
            (.completed, .completed(CanonicalJob.completion(failures: [failure]))),
        ]
        let sequence = events.enumerated().map { CanonicalJob.event(UInt32($0 + 1), 0, $1.0, 50, $1.1) }
        let context = CanonicalJob.context(Self.dialect, request: request)
        let frames = try Self.frames(Self.dialect.makeStreamEncoder(context), sequence)
        #expect(frames.filter { $0.text.contains("partial_image_b64") }.count == 2)
        let last = try #require(frames.last?.text)
        #expect(last.contains("\"status\":\"failed\"") && last.contains("moderation_blocked"))
        #expect(last.components(separatedBy: CanonicalJob.final).count == 3)
    }

    @Test func picturesWithoutBytesFail() throws {
        let context = try DialectConformanceTests.context(Self.dialect)
        let image = CanonicalJob.event(1, 0, .uploading, 95, .image(CanonicalJob.image(payload: nil)))
        let frames = try Self.frames(
            Self.dialect.makeStreamEncoder(context), [image, CanonicalJob.completed.events[7]])
        #expect(frames.last?.text.contains("\"type\":\"response.failed\"") == true)
    }

    @Test(
        arguments: [
            ("stream=true", nil), ("stream=1", nil), ("stream=yes", "stream"),
            ("starting_after=x&stream=true", "starting_after"),
            ("stream=true&starting_after=-1", "starting_after"), ("stream=true&starting_after=", "starting_after"),
            ("stream=true&starting_after=99999999999999999999", "starting_after"),
            ("stream=true&starting_after=7", nil),
            ("stream=false&starting_after=x", "starting_after"), ("", nil),
        ] as [(String, String?)]) func readsTheQuery(_ query: String, _ wrong: String?) throws
    {
        let items = query.split(separator: "&").map { item in
            let parts = item.split(separator: "=", omittingEmptySubsequences: false)
            return (name: String(parts[0]), value: String(parts[1]))
        }
        do {
            let wish = try Self.dialect.follow(DialectDriving.call(Self.dialect.endpoints[1], query: items))
            #expect(wrong == nil)
            #expect((wish.form == .stream) == (query.contains("true") || query.contains("stream=1")))
        } catch {
            #expect(error.parameter == wrong)
        }
    }

    // MARK: Requests

    @Test func readsTurns() throws {
        let image = try Self.decode(
            """
            "model": "gpt-5", "instructions": "Be brief.", \(Self.tool), "input": [
              {"role": "developer", "content": "Draw."},
              {"role": "user", "content": [{"type": "input_text", "text": "a boat"}, {"type": "input_text", "text": "at sea"}]},
              {"type": "reasoning", "summary": []},
              {"type": "image_generation_call", "id": "ig_1", "result": "iVBORw0KGgo="},
              {"role": "assistant", "content": [{"type": "output_text", "text": "Here."}]},
              {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "at night"}, {"type": "input_image", "image_url": "\(Self.data)"}]}]
            """
        ).image
        #expect(image.prompt == "at night" && image.images.count == 1 && image.operation == .edit)
        #expect(image.messages.map(\.role) == [.system, .user, .assistant, .assistant, .user])
        #expect(image.messages.map(\.text) == ["Draw.", "a boat\nat sea", "", "Here.", "at night"])
        #expect(image.messages.map(\.images.count) == [0, 0, 1, 0, 0])
        #expect(image.model == "gpt-5" && image.instructions == "Be brief." && image.partialImages == nil)
    }

    @Test func readsTheTool() throws {
        let decoded = try Self.decode(
            """
            "input": "p", "stream": true, "metadata": {"a": "b"}, "user": "u", "temperature": 0.5, "store": false,
            "tools": [{"type": "image_generation", "model": "gpt-image-2", "size": "1536x1024", "quality": "high",
              "background": "opaque", "output_format": "webp", "output_compression": 50, "partial_images": 3,
              "moderation": "low", "action": "generate"}]
            """)
        let image = decoded.image
        #expect(decoded.mode == .stream && image.imageModel == "gpt-image-2" && image.size == .named("1536x1024"))
        #expect(image.quality == "high" && image.background == "opaque" && image.outputFormat == .webp)
        #expect(image.outputCompression == 50 && image.partialImages == 3 && image.metadata == ["a": "b"])
        #expect(image.extensions == ["moderation": .text("low")] && image.user == "u" && image.messages.isEmpty)
    }

    @Test(arguments: [
        ("\"auto\"", ImageRequest.PictureWish.model), ("\"required\"", .always), ("\"none\"", .never),
        ("{\"type\": \"image_generation\"}", .always), ("{\"type\": \"allowed_tools\", \"mode\": \"auto\"}", .model),
        ("null", .model),
    ]) func readsTheChoice(_ choice: String, _ wish: ImageRequest.PictureWish) throws {
        #expect(try Self.decode("\"input\": \"p\", \(Self.tool), \"tool_choice\": \(choice)").image.picture == wish)
    }

    @Test func anEditTakesTheNewestPicture() throws {
        let turns = """
            [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]},
             {"type": "image_generation_call", "result": "iVBORw0KGgo="}, {"role": "user", "content": "at night"}]
            """
        let tool = "\"tools\": [{\"type\": \"image_generation\", \"action\": \"edit\"}]"
        let image = try Self.decode("\"input\": \(turns), \(tool)").image
        #expect(image.operation == .edit && image.images.count == 1)
        guard case .base64 = image.images.first?.content else {
            Issue.record("not the assistant's picture")
            return
        }
        #expect(try Self.decode("\"input\": \(turns), \(Self.tool)").image.operation == .generate)
    }

    @Test(arguments: [
        ("\"previous_response_id\": \"resp_1\"", "previous_response_id"), ("\"conversation\": {}", "conversation"),
        ("\"prompt\": {\"id\": \"p\"}", "prompt"),
        ("\"text\": {\"format\": {\"type\": \"json_schema\"}}", "text.format"),
        ("\"tools\": [{\"type\": \"function\", \"name\": \"f\"}]", "tools[0]"),
        ("\"tools\": [{\"type\": \"image_generation\", \"svg\": {}}]", "tools[0].svg"),
        ("\"tool_choice\": {\"type\": \"function\"}", "tool_choice"),
    ]) func saysWhatIsNotServed(_ member: String, _ parameter: String) throws {
        let rest = member.contains("tools") ? "" : ", \(Self.tool)"
        let error = DialectDriving.refusal(Self.dialect, "{\"input\": \"p\", \(member)\(rest)}")
        #expect(error?.code == .unsupportedParameter && error?.parameter == parameter)
    }
}
