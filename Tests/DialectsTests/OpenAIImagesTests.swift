import Dialects
import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Testing

@Suite struct OpenAIImagesTests {
    static let dialect = OpenAIImagesDialect()

    static func events(_ request: ImageRequest, _ events: [SequencedEvent]) throws -> [[String: Any]] {
        let stream = DialectDriving.stream(Self.dialect, CanonicalJob.context(Self.dialect, request: request), events)
        return try EventStreamReader.events(stream).map { event in
            let object = try JSONSerialization.jsonObject(with: Data(event.data.utf8))
            let members = try #require(object as? [String: Any])
            #expect(event.id == nil && event.retry == nil)
            #expect(members["type"] as? String == event.name)
            return members
        }
    }

    static func request(_ body: String, _ operation: ImageRequest.Operation = .generate) throws -> ImageRequest {
        try DialectDriving.decode(Self.dialect, body, operation: operation).image
    }

    static let required = [
        "type", "b64_json", "created_at", "size", "quality", "background", "output_format",
    ]

    @Test func previewsAreRenumberedAndBounded() throws {
        let request = try Self.request("{\"prompt\": \"p\", \"stream\": true, \"partial_images\": 2}")
        let events = [3, 5, 9].enumerated().map { index, upstream in
            CanonicalJob.event(
                UInt32(index + 1), 0, .generating, 20,
                .partialImage(CanonicalJob.preview(index, upstreamIndex: upstream)))
        }
        let seen = try Self.events(request, events)
        #expect(seen.map { $0["partial_image_index"] as? Int } == [0, 1])
        for event in seen {
            for member in Self.required { #expect(event[member] != nil, "\(member)") }
            #expect(event["image_index"] == nil)
        }
    }

    @Test func noPreviewsUnlessAsked() throws {
        for body in [
            "{\"prompt\": \"p\", \"stream\": true}", "{\"prompt\": \"p\", \"stream\": true, \"partial_images\": 0}",
        ] {
            let types = try Self.events(Self.request(body), CanonicalJob.completed.events).map { $0["type"] as? String }
            #expect(types == ["image_generation.completed"])
        }
    }

    @Test func noPreviewBehindItsImage() throws {
        let request = try Self.request("{\"prompt\": \"p\", \"stream\": true, \"partial_images\": 3}")
        let late = CanonicalJob.event(9, 0, .uploading, 95, .partialImage(CanonicalJob.preview(0)))
        let seen = try Self.events(request, [CanonicalJob.completed.events[6], late])
        #expect(seen.count == 1)
    }

    @Test func eachImageCompletes() throws {
        let request = try Self.request("{\"prompt\": \"p\", \"stream\": true, \"n\": 2, \"partial_images\": 1}")
        let events = [
            CanonicalJob.event(1, 0, .generating, 20, .partialImage(CanonicalJob.preview(0, imageIndex: 1))),
            CanonicalJob.event(2, 0, .generating, 20, .partialImage(CanonicalJob.preview(0, imageIndex: 0))),
            CanonicalJob.event(3, 0, .uploading, 95, .image(CanonicalJob.image(index: 1, usage: nil))),
            CanonicalJob.event(
                4, 0, .completed, 100,
                .completed(
                    CanonicalJob.completion(
                        failures: [ImageFailure(imageIndex: 0, code: .refused, message: "Refused")]))),
        ]
        let seen = try Self.events(request, events)
        #expect(seen.map { $0["image_index"] as? Int } == [1, 0, 1])
        #expect(seen.map { $0["partial_image_index"] as? Int } == [0, 0, nil])
        #expect(seen[2]["type"] as? String == "image_generation.completed")
        let usage = try #require(seen[2]["usage"] as? [String: Any])
        #expect(usage["total_tokens"] as? Int == 0 && usage["input_tokens_details"] != nil)
    }

    @Test func editsHaveTheirOwnNames() throws {
        var request = try Self.request("{\"prompt\": \"p\", \"stream\": true, \"partial_images\": 1}")
        request.operation = .edit
        let types = try Self.events(request, CanonicalJob.completed.events).map { $0["type"] as? String }
        #expect(types == ["image_edit.partial_image", "image_edit.completed"])
    }

    @Test func lostBytesAreAnError() throws {
        let request = try Self.request("{\"prompt\": \"p\", \"stream\": true}")
        let image = CanonicalJob.event(1, 0, .uploading, 95, .image(CanonicalJob.image(payload: nil)))
        let seen = try Self.events(request, [image, CanonicalJob.completed.events[7]])
        #expect(seen.map { $0["type"] as? String } == ["error"])
        #expect((seen[0]["error"] as? [String: Any])?["code"] as? String == "internal")
    }

    @Test func decodesEveryField() throws {
        let body = """
            {"prompt": "p", "model": "gpt-image-2", "n": 10, "size": "auto", "quality": "xhigh", "background": "transparent",
             "output_format": "webp", "output_compression": 0, "moderation": "low", "partial_images": 3, "stream": true,
             "user": "u", "safety_identifier": "s", "response_format": "b64_json", "style": "vivid",
             "input_fidelity": "high", "complexity": "low"}
            """
        let decoded = try DialectDriving.decode(Self.dialect, body)
        let image = decoded.image
        #expect(
            decoded.mode == .stream && image.count == 10 && image.size == .named("auto") && image.quality == "xhigh")
        #expect(image.background == "transparent" && image.outputFormat == .webp && image.outputCompression == 0)
        #expect(image.partialImages == 3 && image.user == "u" && image.style == "vivid")
        #expect(
            image.extensions == [
                "moderation": .text("low"), "safety_identifier": .text("s"), "input_fidelity": .text("high"),
                "complexity": .text("low"),
            ])
    }

    /// Without a stream previews would be billed and seen by nobody.
    @Test func previewsNeedAStream() throws {
        let decoded = try DialectDriving.decode(Self.dialect, "{\"prompt\": \"p\", \"partial_images\": 3}")
        #expect(decoded.mode == .wait && decoded.image.partialImages == nil)
    }

    @Test(arguments: [
        ("\"promt\": \"a\"", GatewayError.Code.invalidParameter, "promt"), ("\"n\": 11", .invalidParameter, "n"),
        ("\"size\": \"big\"", .invalidParameter, "size"), ("\"size\": \"1024x\"", .invalidParameter, "size"),
        ("\"background\": \"red\"", .invalidParameter, "background"),
        ("\"response_format\": \"url\"", .unsupportedParameter, "response_format"),
        ("\"response_format\": \"png\"", .invalidParameter, "response_format"),
        ("\"output_format\": \"svg\"", .unsupportedParameter, "output_format"),
        ("\"output_format\": \"bmp\"", .invalidParameter, "output_format"),
        ("\"svg\": {}", .unsupportedParameter, "svg"), ("\"partial_images\": 4", .invalidParameter, "partial_images"),
        ("\"images\": []", .invalidParameter, "images"), ("\"webhook\": \"https://x\"", .invalidParameter, "webhook"),
    ])
    func refuses(_ member: String, _ code: GatewayError.Code, _ parameter: String) throws {
        let error = try #require(DialectDriving.refusal(Self.dialect, "{\"prompt\": \"p\", \(member)}"))
        #expect(error.code == code && error.parameter == parameter)
        let body = Self.dialect.render(error, requestID: "r").body
        let object =
            try JSONSerialization.jsonObject(with: Data(body.readableBytesView)) as? [String: [String: Any]]
        #expect(object?["error"]?["param"] as? String == parameter)
    }

    @Test func readsReferences() throws {
        let image = try Self.request(
            """
            {"prompt": "p", "images": [{"image_url": "data:image/png;base64,aGk="}, {"file_id": "file-1"}],
             "mask": {"file_id": "file-2"}}
            """, .edit)
        guard case .base64(let text) = image.images[0].content, case .fileID("file-1") = image.images[1].content,
            case .fileID("file-2")? = image.mask?.content
        else {
            Issue.record("\(image.images)")
            return
        }
        #expect(String(buffer: text) == "aGk=")
    }

    @Test(arguments: [
        "[{\"image_url\": \"https://example.com/a.png\"}]", "[\"data:image/png;base64,aGk=\"]", "[{}]", "[]",
        "[{\"image_url\": \"data:;base64,aGk=\", \"file_id\": \"f\"}]", "[{\"file_id\": 7}]", "{}",
    ])
    func refusesReferences(_ images: String) {
        let error = DialectDriving.refusal(Self.dialect, "{\"prompt\": \"p\", \"images\": \(images)}", operation: .edit)
        #expect(error?.code == .invalidParameter)
    }

    /// One file, a list of files, and indexes: the three spellings of clients. Text may stand behind the files.
    @Test(arguments: [["image"], ["image[]", "image[]"], ["image", "image"], ["image[0]", "image[1]"]])
    func readsForms(_ names: [String]) throws {
        let files = names.enumerated().map { Form.Part.file($1, "\($0).png", "image/png", "bytes \($0)") }
        let form = Form.body(
            files + [
                .text("prompt", "p"), .text("n", "1"), .text("stream", "true"), .text("partial_images", "2"),
                .text("model", "gpt-image-2"),
            ])
        let decoded = try DialectDriving.decode(Self.dialect, form, operation: .edit, contentType: Form.contentType)
        #expect(
            decoded.mode == .stream && decoded.image.partialImages == 2 && decoded.image.images.count == names.count)
    }

    @Test(
        arguments: [
            ([Form.Part.text("prompt", "p")], "image"),
            ([.text("prompt", "p"), .text("n", "x"), .file("image", "a", "image/png", "b")], "n"),
            ([.text("prompt", "p"), .text("prompt", "q"), .file("image", "a", "image/png", "b")], "prompt"),
            ([.text("prompt", "p"), .file("image", "a", "image/png", "")], "image"),
            ([.text("prompt", "p"), .text("image", "hello")], "image"),
            (
                [.text("prompt", "p"), .file("image", "a", "image/png", "b"), .file("picture", "a", "image/png", "b")],
                "picture"
            ),
        ] as [([Form.Part], String)])
    func refusesForms(_ parts: [Form.Part], _ parameter: String) {
        let error = DialectDriving.refusal(
            Self.dialect, Form.body(parts), operation: .edit, contentType: Form.contentType)
        #expect(error?.code == .invalidParameter && error?.parameter == parameter, "\(error?.message ?? "taken")")
    }

    @Test(arguments: ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=other"])
    func refusesBrokenForms(_ contentType: String) {
        let form = Form.body([.text("prompt", "p"), .file("image", "a", "image/png", "b")])
        let error = DialectDriving.refusal(Self.dialect, form, operation: .edit, contentType: contentType)
        #expect(error?.code == .invalidParameter)
    }
}
