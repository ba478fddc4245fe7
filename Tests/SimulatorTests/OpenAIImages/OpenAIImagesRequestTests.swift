import NIOCore
import Testing

@testable import Simulator

@Suite struct OpenAIImagesRequestTests {
    private static func read(_ json: String, edit: Bool = false) throws(SimulatorError) -> OpenAIImagesRequest {
        try OpenAIImagesRequest(edit: edit, contentType: "application/json", body: ByteBuffer(string: json))
    }

    @Test func defaults() throws {
        let request = try Self.read(#"{"prompt":"a","n":null,"size":"auto","quality":"auto","background":"auto"}"#)
        #expect(request.n == 1 && request.size == "1024x1024" && request.quality == "medium")
        #expect(request.background == "opaque" && request.partialImages == 0 && !request.stream)
    }

    @Test func everyParameterIsTaken() throws {
        let request = try Self.read(
            #"{"prompt":"a","model":"gpt-image-2","n":10,"size":"1536x1024","quality":"high","background":"transparent","#
                + #""output_format":"webp","output_compression":80,"moderation":"low","stream":true,"partial_images":3,"#
                + #""user":"u","safety_identifier":"s","complexity":"low"}"#)
        #expect(request.n == 10 && request.width == 1536 && request.height == 1024 && request.quality == "high")
        #expect(request.background == "transparent" && request.partialImages == 3 && request.stream)
    }

    private static let refusals: [(json: String, code: String?, parameter: String?)] = [
        ("{", nil, nil), ("[]", nil, nil), ("", nil, nil),
        ("{}", "missing_required_parameter", "prompt"),
        (#"{"prompt":""}"#, "missing_required_parameter", "prompt"),
        (#"{"prompt":1}"#, "invalid_type", "prompt"),
        (#"{"prompt":"a","n":0}"#, "invalid_value", "n"),
        (#"{"prompt":"a","n":11}"#, "invalid_value", "n"),
        (#"{"prompt":"a","n":1.5}"#, "invalid_type", "n"),
        (#"{"prompt":"a","n":"2"}"#, "invalid_type", "n"),
        (#"{"prompt":"a","partial_images":4}"#, "invalid_value", "partial_images"),
        (#"{"prompt":"a","stream":"true"}"#, "invalid_type", "stream"),
        (#"{"prompt":"a","size":"4096x4096"}"#, "invalid_value", "size"),
        (#"{"prompt":"a","size":"1024"}"#, "invalid_value", "size"),
        (#"{"prompt":"a","size":"-1x64"}"#, "invalid_value", "size"),
        (#"{"prompt":"a","quality":"best"}"#, "invalid_value", "quality"),
        (#"{"prompt":"a","response_format":"b64_json"}"#, "unknown_parameter", "response_format"),
        (#"{"response_format":"b64_json","model":"gpt-image-2","prompt":"a"}"#, "unknown_parameter", "response_format"),
        (#"{"prompt":"a","colour":"red"}"#, "unknown_parameter", "colour"),
        (#"{"prompt":"a","mask":"x"}"#, "unknown_parameter", "mask"),
    ]

    @Test(arguments: refusals)
    func refusesInOpenAIsWords(json: String, code: String?, parameter: String?) {
        let error = #expect(throws: SimulatorError.self) { try Self.read(json) }
        #expect(error?.status == 400)
        #expect(error?.code == code)
        #expect(error?.parameter == parameter)
    }

    @Test func otherModelsKeepTheirParameters() throws {
        let request = try Self.read(#"{"response_format":"b64_json","style":"vivid","prompt":"a","model":"older"}"#)
        #expect(request.prompt == "a")
    }

    @Test func editsNeedPictures() throws {
        let error = #expect(throws: SimulatorError.self) { try Self.read(#"{"prompt":"a"}"#, edit: true) }
        #expect(error?.parameter == "image")
        let one = try Self.read(#"{"prompt":"a","images":[{"file_id":"f"}]}"#, edit: true)
        let two = try Self.read(#"{"prompt":"a","images":[{"image_url":"data:,"},{"file_id":"g"}]}"#, edit: true)
        #expect(one.inputImages == 1 && two.inputImages == 2)
        #expect(one.inputHash.value != two.inputHash.value)
        for images in ["[]", "{}", "[{}]", "[1]"] {
            #expect(throws: SimulatorError.self) { try Self.read(#"{"prompt":"a","images":\#(images)}"#, edit: true) }
        }
    }

    private static func form(_ parts: [(head: String, body: String)]) -> ByteBuffer {
        var body = ByteBuffer()
        for part in parts {
            body.writeString("--B\r\nContent-Disposition: form-data; \(part.head)\r\n\r\n\(part.body)\r\n")
        }
        body.writeString("--B--\r\n")
        return body
    }

    @Test(arguments: ["image", "image[]", "image[0]"])
    func formsAreRead(name: String) throws {
        let body = Self.form([
            ("name=\"\(name)\"; filename=\"a.webp\"", "RIFFxxxxWEBP"), ("name=\"prompt\"", "a shore"),
            ("name=\"n\"", "2"), ("name=\"stream\"", "true"), ("name=\"partial_images\"", "1"),
        ])
        let request = try OpenAIImagesRequest(edit: true, contentType: "multipart/form-data; boundary=B", body: body)
        #expect(request.prompt == "a shore" && request.n == 2 && request.stream && request.partialImages == 1)
        #expect(request.inputImages == 1)
    }

    @Test func aFormWithoutAPictureFileIsRefused() {
        let body = Self.form([("name=\"image\"; filename=\"a.txt\"", "hello"), ("name=\"prompt\"", "a")])
        let error = #expect(throws: SimulatorError.self) {
            try OpenAIImagesRequest(edit: true, contentType: "multipart/form-data; boundary=B", body: body)
        }
        #expect(error?.code == "invalid_image_file")
    }
}
