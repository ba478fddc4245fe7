import Dialects
import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

/// What is special to `replicate` and `fal-queue`.
@Suite struct QueuedDialectTests {
    static let replicate = ReplicateDialect()
    static let fal = FalQueueDialect()

    private static func object(_ response: DialectResponse) throws -> [String: Any] {
        try #require(
            try JSONSerialization.jsonObject(with: Data(response.body.readableBytesView)) as? [String: Any])
    }

    private static func decode(
        _ dialect: any Dialect, _ body: String, headers: HTTPFields = [:],
        query: [(name: String, value: String)] = [], parameters: [String: String] = [:]
    ) throws -> DecodedRequest {
        var fields = headers
        fields[.contentType] = "application/json"
        let request = DialectRequest(
            headers: fields, query: query, parameters: parameters, body: ByteBuffer(string: body))
        return try dialect.decode(
            request, endpoint: try DialectDriving.createEndpoint(dialect), operation: .generate)
    }

    // MARK: replicate

    @Test(
        arguments: [
            (nil, nil), ("wait", 60_000), ("wait=5", 5000), ("Wait=5", 5000), ("respond-async, wait=7; x=1", 7000),
            ("wait=0", 1000), ("wait=600", 60_000), ("wait=soon", 60_000), ("waiting", nil), ("respond-async", nil),
        ] as [(String?, Int?)]) func waitsAsPreferred(_ prefer: String?, _ milliseconds: Int?) throws
    {
        var headers = HTTPFields()
        headers[try #require(HTTPField.Name("prefer"))] = prefer
        let decoded = try Self.decode(Self.replicate, "{\"input\": {\"prompt\": \"p\"}}", headers: headers)
        #expect(decoded.patienceMilliseconds == milliseconds)
        #expect(decoded.mode == (milliseconds == nil ? .queue : .wait))
    }

    @Test(
        arguments: [
            ("\"version\": \"owner/name\"", [:], "owner/name", nil),
            ("\"version\": \"owner/name:abc\"", [:], "owner/name", "abc"),
            ("\"version\": \"abc\"", [:], "abc", "abc"),
            ("\"version\": \"abc\"", ["owner": "o", "model": "m"], "o/m", "abc"),
            ("\"model\": \"o/m\"", [:], "o/m", nil), ("\"stream\": true", [:], nil, nil),
        ] as [(String, [String: String], String?, String?)])
    func namesTheModel(_ member: String, _ path: [String: String], _ model: String?, _ version: String?) throws {
        let image = try Self.decode(
            Self.replicate, "{\(member), \"input\": {\"prompt\": \"p\"}}", parameters: path
        ).image
        #expect(image.model == model)
        #expect(image.extensions["version"] == version.map { .text($0) })
    }

    @Test(arguments: ["webhook", "webhook_completed", "webhook_events_filter"])
    func refusesWebhooksWith400(_ name: String) throws {
        let error = try #require(
            DialectDriving.refusal(Self.replicate, "{\"input\": {\"prompt\": \"p\"}, \"\(name)\": [\"x\"]}"))
        #expect(Self.replicate.render(error, requestID: "r").status == 400 && error.parameter == name)
    }

    /// What is not over must not look final to clients that wait, and shows what there is to those that ask.
    @Test func aCreatedPredictionIsStartingUntilItsEnd() throws {
        let events = Array(CanonicalJob.completed.events[..<7])
        for (endpoint, status, hasOutput) in [
            (Self.replicate.endpoints[0], "starting", false), (Self.replicate.endpoints[4], "processing", true),
        ] {
            let context = try DialectConformanceTests.context(Self.replicate, call: DialectDriving.call(endpoint))
            let answer = DialectDriving.answer(Self.replicate, context, events)
            let object = try Self.object(answer)
            #expect(object["status"] as? String == status)
            #expect((object["output"] as? [String] != nil) == hasOutput)
            #expect(answer.status == (hasOutput ? 200 : 201))
        }
    }

    @Test func outputsArePicturesWithoutAnImageStore() throws {
        let context = try DialectConformanceTests.context(Self.replicate, delivery: .inline)
        let object = try Self.object(DialectDriving.answer(Self.replicate, context, CanonicalJob.completed.events))
        #expect(object["output"] as? [String] == ["data:image/png;base64,\(CanonicalJob.final)"])
        let stream = DialectDriving.stream(Self.replicate, context, CanonicalJob.completed.events)
        let outputs = EventStreamReader.events(stream).filter { $0.name == "output" }
        #expect(outputs.map(\.data) == ["data:image/png;base64,\(CanonicalJob.final)"])
    }

    @Test func listsPredictions() throws {
        let call = DialectDriving.call(Self.replicate.endpoints[3])
        let context = try DialectConformanceTests.context(Self.replicate, call: call)
        let page = Self.replicate.render(
            [CanonicalJob.completed, .failed].map { ($0.snapshot, context) }, nextCursor: "h1")
        let object = try Self.object(page)
        #expect((object["results"] as? [[String: Any]])?.map { $0["status"] as? String } == ["succeeded", "failed"])
        #expect(object["next"] as? String == "https://images.example/mount/predictions?cursor=h1")
        let empty = try Self.object(Self.replicate.render([], nextCursor: nil))
        #expect((empty["results"] as? [Any])?.isEmpty == true && empty["next"] is NSNull)
    }

    @Test func messagesStayOnOneLine() throws {
        let context = try DialectConformanceTests.context(Self.replicate)
        let event = CanonicalJob.event(
            1, 0, .queued, 0, .stage(StageChange(message: "two\nlines\r\u{2028}\u{85}and\u{0}more")))
        let frames = DialectDriving.stream(Self.replicate, context, [event])
        #expect(String(decoding: frames, as: UTF8.self).hasSuffix("[two lines   and more]\n\n"))
    }

    // MARK: Both

    @Test func whatModelsKnowIsPassedOn() throws {
        let members = "\"prompt\": \"p\", \"guidance\": 3.5, \"steps\": 28, \"go_fast\": true, \"scheduler\": \"K\""
        for image in [
            try Self.decode(Self.replicate, "{\"input\": {\(members)}}").image,
            try Self.decode(Self.fal, "{\(members)}").image,
        ] {
            #expect(
                image.extensions == [
                    "guidance": .text("3.5"), "steps": .integer(28), "go_fast": .boolean(true), "scheduler": .text("K"),
                ])
        }
        for extra in ["\"loras\": [{}]", "\"loras\": {}"] {
            let error = DialectDriving.refusal(Self.fal, "{\"prompt\": \"p\", \(extra)}")
            #expect(error?.code == .unsupportedParameter && error?.parameter == "loras")
        }
        let many = (0...40).map { ", \"x\($0)\": 1" }.joined()
        #expect(DialectDriving.refusal(Self.fal, "{\"prompt\": \"p\"\(many)}")?.code == .invalidParameter)
    }

    @Test func picturesMakeAnEdit() throws {
        let data = "\"data:image/png;base64,iVBORw0KGgo=\""
        let edit = try Self.decode(
            Self.fal, "{\"prompt\": \"p\", \"image_urls\": [\(data), \(data)], \"mask_url\": \(data)}"
        ).image
        #expect(edit.operation == .edit && edit.images.count == 2 && edit.mask != nil)
        let other = try Self.decode(Self.replicate, "{\"input\": {\"prompt\": \"p\", \"input_image\": \(data)}}").image
        #expect(other.operation == .edit && other.images.count == 1)
        let many = [String](repeating: data, count: 17).joined(separator: ",")
        #expect(
            DialectDriving.refusal(Self.fal, "{\"prompt\": \"p\", \"image_urls\": [\(many)]}")?.parameter
                == "image_urls")
    }

    // MARK: fal-queue

    @Test(
        arguments: [
            ("\"image_size\": \"square_hd\"", "1:1"), ("\"image_size\": \"portrait_16_9\"", "9:16"),
            ("\"image_size\": \"landscape_4_3\"", "4:3"), ("\"image_size\": \"auto\"", "auto"),
            ("\"image_size\": \"640x480\"", "640x480"),
            ("\"image_size\": {\"width\": 640, \"height\": 480}", "640x480"),
            ("\"aspect_ratio\": \"21:9\"", "21:9"), ("\"aspect_ratio\": \"auto\"", nil), ("\"n\": 2", nil),
        ] as [(String, String?)]) func readsSizes(_ member: String, _ size: String?) throws
    {
        #expect(try Self.decode(Self.fal, "{\"prompt\": \"p\", \(member)}").image.size?.text == size)
    }

    @Test func theModelIsThePaths() throws {
        let decoded = try Self.decode(
            Self.fal, "{\"prompt\": \"p\", \"sync_mode\": true}", parameters: ["model": "fal-ai/flux/dev"])
        #expect(decoded.image.model == "fal-ai/flux/dev" && decoded.mode == .queue && decoded.delivery == .inline)
    }

    @Test func refusesWebhooks() {
        #expect {
            try Self.decode(Self.fal, "{\"prompt\": \"p\"}", query: [("fal_webhook", "https://example.com")])
        } throws: { error in
            Self.fal.render((error as? GatewayError) ?? GatewayError(.internal, ""), requestID: "r").status == 400
        }
    }

    @Test(arguments: [("1", 3), ("true", 3), ("True", 3), ("0", nil), ("false", nil), (nil, nil)] as [(String?, Int?)])
    func showsLogsWhereAskedFor(_ value: String?, _ lines: Int?) throws {
        let status = Self.fal.endpoints[1]
        let query = value.map { [(name: "logs", value: $0)] } ?? []
        let context = try DialectConformanceTests.context(Self.fal, call: DialectDriving.call(status, query: query))
        let object = try Self.object(DialectDriving.answer(Self.fal, context, CanonicalJob.completed.events))
        #expect(object["status"] as? String == "COMPLETED")
        #expect((object["logs"] as? [Any])?.count == lines)
    }

    @Test func statusesOfEachStage() throws {
        let call = DialectDriving.call(Self.fal.endpoints[1])
        let context = try DialectConformanceTests.context(Self.fal, call: call)
        let answers = (1...3).map { count in
            DialectDriving.answer(Self.fal, context, Array(CanonicalJob.completed.events[..<count]))
        }
        let objects = try answers.map { try Self.object($0) }
        #expect(objects.map { $0["status"] as? String } == ["IN_QUEUE", "IN_PROGRESS", "IN_PROGRESS"])
        #expect(objects[0]["queue_position"] as? Int == 2 && objects[1].keys.contains("logs"))
        #expect(answers.map(\.status) == [202, 202, 202])
    }

    @Test func resultsAreThereAtTheEnd() throws {
        let call = DialectDriving.call(Self.fal.endpoints[3])
        let context = try DialectConformanceTests.context(Self.fal, call: call)
        let early = DialectDriving.answer(Self.fal, context, Array(CanonicalJob.completed.events[..<7]))
        #expect(early.status == 400)
        #expect(try Self.object(early)["detail"] as? String == "Request is still in progress")
        let refused = CanonicalJob.event(1, 0, .error, 0, .error(GatewayError(.refused, "No.")))
        let answer = DialectDriving.answer(Self.fal, context, [refused])
        let detail = try #require(try Self.object(answer)["detail"] as? [[String: Any]])
        #expect(answer.status == 422 && detail.first?["type"] as? String == "content_policy_violation")
    }
}
