import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Providers

/// The language of queue definitions: what is read, what is refused, and that the manual knows all of it.
@Suite struct QueueDefinitionTests {
    /// The least that is a definition, with members on top.
    static func definition(_ members: String = "") throws -> JSONNode {
        let least = #"""
            {"submit": {"method": "POST", "url": "{base}/jobs"}, "status": {"url": "{base}/jobs/{job_id}"},
             "body": {"prompt": "$prompt"}, "job_id": "id", "state": {"paths": "s", "map": {"ok": "succeeded"}},
             "images": [{"url": "u.*"}]}
            """#
        // Of two layers the first wins, so members replace.
        let own = try JSONDocument(ByteBuffer(string: "{\(members)}")).root
        let base = try JSONDocument(ByteBuffer(string: least)).root
        return try Self.merged(own, base)
    }

    private static func merged(_ own: JSONNode, _ base: JSONNode) throws -> JSONNode {
        var writer = JSONWriter()
        writer.beginObject()
        for member in base.members where own[member.key] == nil {
            writer.key(dynamic: member.key)
            writer.value(raw: member.value.raw)
        }
        for member in own.members {
            writer.key(dynamic: member.key)
            writer.value(raw: member.value.raw)
        }
        writer.endObject()
        return try JSONDocument(writer.buffer).root
    }

    private static func problem(_ members: String) throws -> String? {
        do {
            _ = try QueueDefinition(layers: [try Self.definition(members)])
            return nil
        } catch let problem as ProviderConfigurationProblem {
            return "\(problem.key): \(problem.message)"
        }
    }

    @Test func everyPresetIsReadAndSpeaksToItsOwnHosts() throws {
        #expect(QueuePreset.all.map(\.name) == ["stages", "fal", "replicate", "bfl"])
        for preset in QueuePreset.all {
            let definition = try QueueDefinition(layers: [preset.definition])
            #expect(preset.resultHosts.isEmpty == (preset.baseURL == nil))
            #expect(preset.baseURL.map { StrictURL($0)?.isSecure ?? false } ?? true)
            #expect(definition.body.unifiedNames.isSuperset(of: ["prompt", "size", "seed"]))
        }
    }

    @Test(arguments: [
        (#""follow": "events""#, "definition.events"), (#""follow": "submit""#, "definition.submit_stream"),
        (#""follow": "push""#, "definition.follow"), (#""bodyform": "json""#, "definition.bodyform"),
        (#""submit": null"#, "definition.submit"),
        (#""submit": {"url": "https://evil.example/"}"#, "definition.submit.url"),
        (#""submit": {"url": "{job_id}/x"}"#, "definition.submit.url"),
        (#""submit": {"url": "{bose}/x"}"#, "definition.submit.url"),
        (#""submit": {"url": "{base}/ x"}"#, "definition.submit.url"),
        (#""submit": {"url": "{base"}"#, "definition.submit.url"),
        (#""submit": {"url": "{base}", "method": "TRACE"}"#, "definition.submit.method"),
        (#""submit": {"url": "{base}", "named": {}}"#, "definition.submit.named"),
        (#""submit": {"url": "{base}", "headers": {"a b": "c"}}"#, "definition.submit.headers"),
        (#""submit": {"url": "{base}", "headers": {"a": "c\r\nd"}}"#, "definition.submit.headers"),
        (#""submit": {"url": "{base}", "query": {"a&b": "c"}}"#, "definition.submit.query"),
        (#""submit": {"url": "{base}", "query": {"a": "{x}"}}"#, "definition.submit.query.a"),
        (#""body": "$promt""#, "definition.body"),
        (#""body": {"a": {"$field": "n", "map": {"1": []}}}"#, "definition.body.a.map.1"),
        (#""body": {"a": {"$field": "n", "nearest": "x"}}"#, "definition.body.a.nearest"),
        (#""body": {"a": {"$first": []}}"#, "definition.body.a"),
        (#""body": {"a": {"$first": ["$n"], "b": 1}}"#, "definition.body.a.b"),
        (#""body": {"a": {"$field": "image", "form": "hex"}}"#, "definition.body.a.form"),
        (#""body": [], "body_form": "multipart""#, "definition.body"),
        (#""state": {"paths": "s", "map": {"ok": "done"}}"#, "definition.state.map.ok"),
        (#""state": {"paths": "s", "map": {"ok": "failed"}}"#, "definition.state.map"),
        (#""state": {"paths": "s..t", "map": {"ok": "succeeded"}}"#, "definition.state.paths"),
        (#""images": []"#, "definition.images"), (#""images": [{"width": "w"}]"#, "definition.images"),
        (#""images": [{"url": "a.*.b.*.c.*"}]"#, "definition.images.url"),
        (#""poll": {"interval": "10ms"}"#, "definition.poll.interval"),
        (#""poll": {"interval": 5}"#, "definition.poll.interval"),
        (#""poll": {"interval": "5s", "maximum_interval": "1s"}"#, "definition.poll.maximum_interval"),
        (#""link_hosts": ["https://a.example"]"#, "definition.link_hosts"),
        (#""link_hosts": "*.com""#, "definition.link_hosts"),
        (#""failure": {"codes": {"x": "boom"}}"#, "definition.failure.codes.x"),
        (#""progress": {"paths": "p", "scale": 0}"#, "definition.progress.scale"),
        (#""progress": {"paths": "p", "stage": "failed"}"#, "definition.progress.stage"),
        (#""maximum_count": 17"#, "definition.maximum_count"), (#""key": {"header": "a:b"}"#, "definition.key.header"),
    ])
    func whatIsWrongIsNamed(_ members: String, _ place: String) throws {
        let problem = try #require(try Self.problem(members))
        #expect(problem.hasPrefix(place + ":"), "\(problem)")
    }

    @Test func theManualAndTheSchemaKnowEveryMember() throws {
        let docs = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../docs")
        let page = String(decoding: try Data(contentsOf: docs.appendingPathComponent("queue.md")), as: UTF8.self)
        let schema = try JSONDocument(
            ByteBuffer(bytes: try Data(contentsOf: docs.appendingPathComponent("routes.schema.json")))
        ).root["$defs"]
        let members = try #require(schema?["queue_definition"]?["properties"]).members
        #expect(Set(members.map(\.key)) == Set(QueueDefinition.keys))
        for key in QueueDefinition.keys { #expect(page.contains("\n| `\(key)` | "), "docs/queue.md: \(key)") }
        for member in members {
            #expect(member.value["description"]?.string?.isEmpty == false, "\(member.key)")
        }
        for name in QueueRequestField.names.keys { #expect(page.contains("`\(name)`"), "docs/queue.md: \(name)") }
        for state in QueueState.allCases { #expect(page.contains("`\(state.rawValue)`"), "docs/queue.md: \(state)") }
        for preset in QueuePreset.all {
            #expect(page.contains("\n| `\(preset.name)` | "), "docs/queue.md: \(preset.name)")
        }
    }
}

@Suite struct QueueTemplateTests {
    private static func written(
        _ template: String, over presets: [String] = [], _ change: (inout ImageRequest) -> Void = { _ in }
    ) throws -> String {
        let layers = try ([template] + presets).map { try JSONDocument(ByteBuffer(string: $0)).root }
        var request = ImageRequest(operation: .generate, prompt: "a kite")
        change(&request)
        let body = try QueueTemplate(layers, path: "body", depth: 0).json(.init(request: request, model: "m"))
        return body.map { String(buffer: $0) }.joined()
    }

    @Test(arguments: [
        (
            #"{"a": "$prompt", "b": "$seed", "c": {"d": "$seed"}, "e": ["$seed", "$model"], "f": 7, "g": {}}"#,
            #"{"a":"a kite","e":["m"],"f":7,"g":{}}"#
        ),
        (#"{"a": {"$first": ["$seed", "$n", 1]}, "b": {"$first": ["$seed"]}}"#, #"{"a":1}"#),
        (#"{"a": {"$first": [{"x": "$seed"}, {"y": "$prompt"}]}}"#, #"{"a":{"y":"a kite"}}"#),
        (#"{"a": {"$field": "model", "map": {"m": {"$x": 1}}}}"#, ""),
        (#"{"a": {"$field": "model", "map": {"m": 4.5}}}"#, #"{"a":4.5}"#),
        (
            #"{"a": {"$field": "model", "map": {"m": true}}, "b": {"$field": "model", "map": {"m": null}}}"#,
            #"{"a":true}"#
        ),
        (#"{"a": {"$field": "model", "map": {"x": 1}, "others": "drop"}}"#, "{}"),
        (#"{"a": {"$field": "model", "map": {"x": 1}}}"#, #"{"a":"m"}"#),
        (#"["$prompt", {"a": "$seed"}]"#, #"["a kite"]"#), (#""$prompt""#, #""a kite""#),
    ])
    func membersThatAreNotSetAreLeftOut(_ template: String, _ expected: String) throws {
        guard !expected.isEmpty else {
            #expect(throws: ProviderConfigurationProblem.self) { try Self.written(template) }
            return
        }
        #expect(try Self.written(template) == expected)
    }

    @Test func everyFieldOfTheRequestCanBeTold() throws {
        let names = QueueRequestField.names.keys.sorted()
        let template = "{" + names.map { #""\#($0)": "$\#($0)""# }.joined(separator: ",") + #","x":"$extensions.x"}"#
        let text = try Self.written(template) { request in
            request.messages = [.init(role: .user, text: "hi")]
            request.instructions = "be kind"
            request.negativePrompt = "no"
            request.imageModel = "drawer"
            request.count = 2
            request.size = .pixels(width: 1536, height: 1024)
            request.quality = "high"
            request.outputFormat = .webp
            request.outputCompression = 80
            request.background = "opaque"
            request.style = "ink"
            request.seed = -7
            request.partialImages = 2
            request.user = "u"
            request.metadata = ["b": "2", "a": "1"]
            request.images = [
                InputImage(content: .url("https://a.example/x")),
                InputImage(content: .base64(ByteBuffer(string: "QUJD"))),
            ]
            request.mask = InputImage(content: .bytes(ByteBuffer(string: "ABC")))
            request.extensions = ["x": .boolean(true)]
        }
        #expect(
            text == #"""
                {"aspect_ratio":"3:2","background":"opaque","height":1024,"image":"https://a.example/x",\#
                "image_model":"drawer","images":["https://a.example/x","QUJD"],"instructions":"be kind","mask":"QUJD",\#
                "messages":[{"role":"user","content":"hi"}],"metadata":{"a":"1","b":"2"},"model":"m","n":2,\#
                "negative_prompt":"no","output_compression":80,"output_format":"webp","partial_images":2,\#
                "prompt":"a kite","quality":"high","seed":-7,"size":"1536x1024","style":"ink","user":"u","width":1536,\#
                "x":true}
                """#)
    }

    @Test(
        arguments: [
            (.named("1024x768"), #"{"w":1024,"h":768,"r":"4:3","s":"square"}"#),
            (.pixels(width: 512, height: 512), #"{"w":512,"h":512,"r":"1:1","s":"square"}"#),
            (.aspectRatio(width: 16, height: 9), #"{"w":1376,"h":768,"r":"16:9","s":"2:1"}"#),
            (.named("21:9"), #"{"w":1568,"h":672,"r":"7:3","s":"2:1"}"#), (.named("auto"), "{}"), (nil, "{}"),
            (.aspectRatio(width: 1, height: 1000), #"{"w":32,"h":32384,"r":"1:1000","s":"square"}"#),
        ] as [(ImageRequest.Size?, String)])
    func sizesAreSpelledAsTheServiceWants(_ size: ImageRequest.Size?, _ expected: String) throws {
        let template = #"""
            {"w": {"$field": "width", "area": 1048576, "multiple_of": 32},
             "h": {"$field": "height", "area": 1048576, "multiple_of": 32}, "r": "$aspect_ratio",
             "s": {"$field": "aspect_ratio", "nearest": ["1:1", "2:1"], "map": {"1:1": "square"}}}
            """#
        #expect(try Self.written(template) { $0.size = size } == expected)
    }

    @Test func picturesAreChosenByNumber() throws {
        let template = #"""
            {"one": {"$field": "images", "index": 0}, "two": {"$field": "images", "index": 1, "form": "data_url"},
             "three": {"$field": "images", "index": 2}, "many": {"$field": "images", "at_least": 3}}
            """#
        let images = ["QUJD", "REVG"].map { InputImage(content: .base64(ByteBuffer(string: $0))) }
        #expect(
            try Self.written(template) { $0.images = images }
                == #"{"one":"QUJD","two":"data:image/png;base64,REVG"}"#)
    }

    @Test func bodiesAreMergedMemberByMember() throws {
        let preset = #"{"input": {"a": 1, "b": "$prompt", "c": {"$field": "n"}}, "d": [1, 2], "e": "$model"}"#
        #expect(
            try Self.written(
                #"{"input": {"b": null, "c": 9, "z": true}, "d": [3], "y": {"x": null, "w": 1}}"#, over: [preset])
                == #"{"input":{"a":1,"c":9,"z":true},"d":[3],"e":"m","y":{"w":1}}"#)
        #expect(try Self.written(#"{"input": "$prompt"}"#, over: [preset]) == #"{"input":"a kite","d":[1,2],"e":"m"}"#)
    }

    @Test func formsHoldFilesAndNestedNames() throws {
        let definition = try QueueDefinition(
            layers: [
                try QueueDefinitionTests.definition(
                    #"""
                    "body_form": "multipart", "body": {"prompt": "$prompt", "seed": "$seed", "flags": {"raw": true, "n": "$n"},
                     "tags": ["a", "b"], "image": "$images", "note": "ü\n"}
                    """#)
            ])
        var request = ImageRequest(operation: .edit, prompt: "a kite")
        request.images = [
            InputImage(content: .base64(ByteBuffer(string: "QUJD"))), InputImage(content: .url("https://a.example/x")),
        ]
        let body = try definition.body(.init(request: request, model: nil), entropy: 1)
        let text = body.pieces.map { String(buffer: $0) }.joined()
        let boundary = try #require(body.contentType.split(separator: "=").last)
        let parts = text.components(separatedBy: "--\(boundary)").dropFirst().dropLast().map {
            $0.replacingOccurrences(of: "\r\n", with: "|")
        }
        let lead = "|Content-Disposition: form-data; name="
        #expect(
            parts == [
                lead + "\"prompt\"||a kite|", lead + "\"flags[raw]\"||true|", lead + "\"tags\"||a|",
                lead + "\"tags\"||b|",
                lead + "\"image\"; filename=\"image.png\"|Content-Type: image/png||ABC|",
                lead + "\"image\"||https://a.example/x|", lead + "\"note\"||ü\n|",
            ])
        request.images = [InputImage(content: .base64(ByteBuffer(string: "A")))]
        let broken = QueueTemplate.Source(request: request, model: nil)
        #expect(throws: GatewayError.self) { try definition.body(broken, entropy: 1) }
    }
}
