import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Providers

@Suite struct ConfigurationTests {
    @Test(
        arguments: [
            ("ftp://a", nil, "base_url"), ("https://a/", nil, "base_url"), ("https://a?x=1", nil, "base_url"),
            ("https://a b", nil, "base_url"), ("https://a", "", "api_key"), ("https://a", "x\r\nHost: b", "api_key"),
        ] as [(String, String?, String)])
    func problems(_ base: String, _ key: String?, _ member: String) {
        for provider in ProviderRegistry.providers {
            let configuration = ProviderConfiguration(name: "u", baseURL: base, apiKey: key, preset: "stages")
            let problem = #expect(throws: ProviderConfigurationProblem.self) { try provider.make(configuration) }
            #expect(problem?.key == member)
        }
    }

    @Test(
        arguments: [
            (#"{"nope":1}"#, "definition.nope"), (#"{"follow":"guess"}"#, "definition.follow"),
            (#"{"submit":null}"#, "definition.submit"),
            (#"{"submit":{"url":"https://evil.example"}}"#, "definition.submit.url"),
            (#"{"submit":{"url":"{base}/{x}"}}"#, "definition.submit.url"),
            (#"{"submit":{"url":"{base"}}"#, "definition.submit.url"),
            (#"{"submit":{"url":"{base}/","method":"TRACE"}}"#, "definition.submit.method"),
            (#"{"events":null}"#, "definition.events"), (#"{"poll":{"interval":"1ms"}}"#, "definition.poll.interval"),
            (#"{"poll":{"interval":5}}"#, "definition.poll.interval"), (#"{"poll":{"interval":"9s"}}"#, nil),
            (#"{"poll":{"interval":"9s","maximum_interval":"2s"}}"#, "definition.poll.maximum_interval"),
            (#"{"images":[]}"#, "definition.images"), (#"{"images":[{}]}"#, "definition.images"),
            (#"{"state":{"paths":"s","map":{"a":"queued"}}}"#, "definition.state.map"),
            (#"{"state":{"paths":"s","map":{"a":"done"}}}"#, "definition.state.map.a"),
            (#"{"job_id":"a..b"}"#, "definition.job_id"), (#"{"maximum_count":0}"#, "definition.maximum_count"),
            (#"{"body":{"a":{"b":"$nothing"}}}"#, "definition.body.a.b"),
            (#"{"key":{"header":"a b"}}"#, "definition.key.header"),
            (#"{"operations":["paint"]}"#, "definition.operations"), (#"{"follow":"poll","events":null}"#, nil),
            (#"[]"#, "definition"),
        ] as [(String, String?)])
    func definitionProblems(_ json: String, _ member: String?) throws {
        let definition = try JSONDocument(ByteBuffer(string: json)).root
        let configuration = ProviderConfiguration(
            name: "u", baseURL: "https://a", preset: "stages", definition: definition)
        do throws(ProviderConfigurationProblem) {
            _ = try QueueAdapter(configuration)
            #expect(member == nil)
        } catch {
            #expect(error.key == member, "\(error.message)")
        }
    }

    @Test func unknownPresetIsAProblem() {
        for preset in [nil, "nope"] {
            #expect(throws: ProviderConfigurationProblem.self) {
                try QueueAdapter(ProviderConfiguration(name: "u", baseURL: "https://a", preset: preset))
            }
        }
    }
}

@Suite struct CapabilityTests {
    static func adapter(_ provider: String) throws -> any ProviderAdapter {
        let make = try #require(ProviderRegistry.factory(named: provider))
        return try make(
            ProviderConfiguration(
                name: "up", baseURL: "https://a", preset: provider == "queue" ? "stages" : nil))
    }

    static func everything() -> ImageRequest {
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.negativePrompt = "n"
        request.count = 2
        request.size = .named("auto")
        request.quality = "high"
        request.outputFormat = .png
        request.outputCompression = 1
        request.background = "opaque"
        request.style = "s"
        request.seed = 1
        request.partialImages = 2
        request.user = "u"
        request.extensions = ["moderation": .text("low"), "blog_id": .text("b")]
        return request
    }

    @Test(arguments: [
        ("openai-images", ["blog_id", "negative_prompt", "seed", "style"]),
        ("queue", ["background", "moderation", "output_compression", "output_format", "user"]),
    ])
    func unsupportedParametersAreNamed(_ provider: String, _ names: [String]) throws {
        let adapter = try Self.adapter(provider)
        #expect(adapter.capabilities.unsupportedParameters(in: Self.everything()) == names)
        let job = ExchangeJob(id: JobID(), request: Self.everything(), entropy: 1)
        let error = #expect(throws: GatewayError.self) { try adapter.makeExchange(for: job) }
        #expect(error?.code == .unsupportedParameter)
        #expect(names.contains(error?.parameter ?? ""))
        var plain = ImageRequest(operation: .generate, prompt: "p")
        plain.partialImages = 3
        plain.size = .named("auto")
        plain.quality = "auto"
        plain.background = "auto"
        #expect(adapter.capabilities.unsupportedParameters(in: plain).isEmpty)
    }

    @Test func countsAndOperationsAreBounded() throws {
        var many = ImageRequest(operation: .generate, prompt: "p")
        many.count = 11
        let edit = ImageRequest(operation: .edit, prompt: "p")
        for provider in ["openai-images", "queue"] {
            for request in [many, edit] {
                let job = ExchangeJob(id: JobID(), request: request, entropy: 1)
                #expect(throws: GatewayError.self) { try Self.adapter(provider).makeExchange(for: job) }
            }
        }
    }

    @Test func uploadsAreNotCopied() throws {
        let upload = ByteBuffer(repeating: 7, count: 1 << 20)
        var request = ImageRequest(operation: .edit, prompt: "p")
        request.images = [InputImage(content: .bytes(upload))]
        let job = ExchangeJob(id: JobID(), request: request, entropy: 1)
        var actions: ExchangeActions = []
        var exchange = try Self.adapter("openai-images").makeExchange(for: job)
        exchange.start(into: &actions)
        guard case .send(let call, _) = actions.first else { return #expect(Bool(false)) }
        let address = upload.withUnsafeReadableBytes(\.baseAddress)
        #expect(call.body.contains { $0.withUnsafeReadableBytes(\.baseAddress) == address })
    }
}

@Suite struct HardeningTests {
    private func exchange(_ provider: String, bound: Int = 64 << 10, count: Int = 1) throws -> any ProviderExchange {
        let make = try #require(ProviderRegistry.factory(named: provider))
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.count = count
        if provider == "openai-images" { request.partialImages = 1 }
        let configuration = ProviderConfiguration(
            name: "u", baseURL: "https://a", maximumEventBytes: bound, preset: provider == "queue" ? "stages" : nil)
        return try make(configuration).makeExchange(for: ExchangeJob(id: JobID(), request: request, entropy: 9))
    }

    private func feed(
        _ exchange: inout any ProviderExchange, type: String, status: Int = 200, _ body: [UInt8], repeats: Int = 1
    ) -> GatewayError? {
        var actions: ExchangeActions = []
        exchange.start(into: &actions)
        exchange.received(
            head: ExchangeResponseHead(status: status, headers: [.contentType: type]), call: 0, into: &actions)
        for _ in 0..<repeats {
            body.withUnsafeBytes { exchange.received(bytes: $0, call: 0, into: &actions) }
            for case .finish(let error) in actions { return error }
        }
        exchange.ended(call: 0, into: &actions)
        for case .finish(let error) in actions { return error }
        return nil
    }

    @Test(arguments: ["text/event-stream", "application/json"])
    func endlessAnswersAreCut(_ type: String) throws {
        for provider in ["openai-images", "queue"] where provider != "queue" || type != "text/event-stream" {
            var exchange = try self.exchange(provider)
            let piece =
                Array((type == "application/json" ? "[[1]," : "data:aaaaaaaaaaaaaaaaaaa").utf8)
                + [UInt8](repeating: 0x20, count: 8192)
            #expect(self.feed(&exchange, type: type, piece, repeats: 64)?.code == .upstreamTooLarge)
        }
    }

    @Test func endlessErrorBodiesAreNotWaitedFor() throws {
        for provider in ["openai-images", "queue"] {
            var exchange = try self.exchange(provider)
            let error = self.feed(
                &exchange, type: "text/plain", status: 500, [UInt8](repeating: 0x61, count: 65_536), repeats: 1000)
            #expect(error?.code == .upstreamError)
        }
    }

    @Test(arguments: [
        "\u{0}\u{1}\u{2}", "data: \u{0}\n\n", "data: []\n\n", "data: 1\n\n", "data: {\"type\":7}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"b64_json\":7}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"\"}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"A\"}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"data:image/png,AAAA\"}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"AAAA\",\"image_index\":-1}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"AAAA\",\"image_index\":99999999999}\n\n",
        "data: {\"type\":\"image_generation.completed\",\"url\":\"gopher://x\"}\n\n",
        "data: {\"error\":{}}\n\n", "data: {\"error\":\"\"}\n\n", "event: error\ndata: {}\n\n", "data: [DONE]\n\n",
        "data: \(String(repeating: "[", count: 10_000))\n\n",
    ])
    func nonsenseIsAnError(_ body: String) throws {
        var exchange = try self.exchange("openai-images")
        #expect(self.feed(&exchange, type: "text/event-stream", Array(body.utf8)) != nil)
    }

    @Test func repeatedPicturesCountOnce() throws {
        var replay = Replay(
            try self.exchange("openai-images", count: 2),
            [
                try FixtureAnswer(
                    file: "a.sse",
                    bytes: Array(
                        """
                        data: {"type":"image_generation.completed","b64_json":"AAAA","image_index":0}

                        data: {"type":"image_generation.completed","b64_json":"BBBB","image_index":0}

                        """.utf8))
            ])
        replay.run()
        #expect(replay.failure?.code == .upstreamTruncated)
        #expect(replay.failure?.billed == .yes)
        #expect(replay.images.count == 1)
    }

    @Test func theKeyIsShownNowhere() throws {
        let make = try #require(ProviderRegistry.factory(named: "openai-images"))
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.count = 2
        request.partialImages = 1
        let adapter = try make(ProviderConfiguration(name: "u", baseURL: "https://a", apiKey: "very-secret"))
        var replay = Replay(
            try adapter.makeExchange(for: ExchangeJob(id: JobID(), request: request, entropy: 9)),
            [
                try FixtureAnswer(
                    file: "a.sse",
                    bytes: Array(
                        """
                        data: {"type":"image_generation.partial_failed","image_index":0,"error":{"message":"bad very-secret"}}

                        data: {"type":"error","error":{"message":"no very-secret"}}


                        """.utf8))
            ])
        replay.run()
        #expect(replay.failedImages == [0])
        #expect(!"\(replay.actions.dropFirst())".contains("very-secret"))
        #expect("\(replay.actions)".contains("[key]"))
    }

    @Test func aLingeringUpstreamIsNotWaitedFor() throws {
        var exchange = try self.exchange("openai-images")
        var actions: ExchangeActions = []
        exchange.start(into: &actions)
        exchange.received(
            head: ExchangeResponseHead(status: 200, headers: [.contentType: "text/event-stream"]), call: 0,
            into: &actions)
        let body = "data: {\"type\":\"image_generation.completed\",\"b64_json\":\"AAAA\"}\n\n"
        Array(body.utf8).withUnsafeBytes { exchange.received(bytes: $0, call: 0, into: &actions) }
        guard case .wait(_, let timer) = actions.last else { return #expect(Bool(false)) }
        exchange.timerFired(timer, into: &actions)
        guard case .finish(nil) = actions.last else { return #expect(Bool(false)) }
    }
}

@Suite struct QueueURLTests {
    @Test(arguments: [
        ("https://api.bfl.ai/v1/x", true), ("https://api.eu2.bfl.ai/v1/x", true), ("https://bfl.ai/x", false),
        ("http://api.eu2.bfl.ai/x", false), ("https://evilbfl.ai/x", false), ("https://a.bfl.ai@evil.example/", false),
        ("https://api.bfl.ai.evil.example/", false), ("https://api.bfl.ai:444/v1", false),
        ("https://api.eu.bfl.ai:443/x", true),
        ("https://evil.example#.bfl.ai", false), ("https://evil.example\\.bfl.ai", false), ("//api.bfl.ai/x", false),
        ("https://API.BFL.AI/x", true), ("javascript:alert(1)", false), ("", false),
    ])
    func trust(_ url: String, _ expected: Bool) {
        #expect(QueueURL.isTrusted(url, base: "https://api.bfl.ai/v1", hosts: ["*.bfl.ai"]) == expected)
    }

    @Test(
        arguments: [
            ("https://c.example/i.png", "https://c.example/i.png"), ("/i.png", "https://a.example:8443/i.png"),
            ("//c.example/i.png", nil), ("i.png", nil), ("file:///etc/passwd", nil), ("https://c.example/a b", nil),
            ("https://u:p@c.example/", nil), ("https://c.example/\r\nX: y", nil),
        ] as [(String, String?)])
    func resolves(_ url: String, _ expected: String?) {
        #expect(QueueURL.resolved(url, base: "https://a.example:8443/v1") == expected)
    }

    @Test func jobIDsAreEncoded() {
        let template = QueueCallTemplate(method: .get, url: [.base, .literal("/jobs/"), .jobID], headers: [:])
        #expect(template.url(.init(base: "b", jobID: "../x?y#z%")) == "b/jobs/..%2Fx%3Fy%23z%25")
        let model = QueueCallTemplate(method: .get, url: [.base, .literal("/"), .model], headers: [:])
        #expect(model.url(.init(base: "b", model: "fal-ai/flux/dev")) == "b/fal-ai/flux/dev")
        #expect(model.url(.init(base: "b", model: "../../admin")) == nil)
        #expect(model.url(.init(base: "b")) == nil)
    }

    @Test(
        arguments: [
            ("https://a/s", "", [:], "https://a/s"),
            ("https://a/s", "/stream", ["logs": "1"], "https://a/s/stream?logs=1"),
            ("https://a/s?x=1", "/stream", ["logs": "1"], "https://a/s/stream?x=1&logs=1"),
            ("https://a/s?logs=0", "", ["logs": "1"], "https://a/s?logs=0"),
            ("https://a/s?logs", "", ["logs": "1"], "https://a/s?logs"),
            ("https://a/s?x=1#f", "?y=2", [:], "https://a/s?x=1&y=2"), ("https://a/s#f", "/t", [:], "https://a/s/t"),
            ("https://a/s?", "", ["id": "7"], "https://a/s?id=7"),
        ] as [(String, String, [String: String], String)])
    func addressesAreExtended(_ address: String, _ suffix: String, _ query: [String: String], _ expected: String) {
        #expect(QueueURL.extended(address, by: suffix, query: query.map { ($0.key, $0.value) }) == expected)
    }

    @Test(
        arguments: [
            (" 25%|##5       | 7/28 [00:01<00:04]", 25), ("0%|  |\n100%|####| 28/28", 100), ("1000%|x", nil),
            ("50% done", nil),
            ("%|", nil), ("", nil), (" 7%|█| 1/14\n 14%", 7),
        ] as [(String, Int?)])
    func progressBars(_ text: String, _ expected: Int?) {
        #expect(ProgressBar.percentage(in: ByteBuffer(string: text).readableBytesView) == expected)
    }

    @Test(
        arguments: [
            ("50% done", 50), ("step 7 of 28 (25%)", 25), ("at 100%", 100), ("10%, then 30%\nready", 30),
            ("50%off", nil),
            ("x=%s", nil), ("1000% sure", nil), ("", nil),
        ] as [(String, Int?)])
    func percentages(_ text: String, _ expected: Int?) {
        #expect(ProgressBar.percentage(in: ByteBuffer(string: text).readableBytesView, form: .percent) == expected)
    }
}
