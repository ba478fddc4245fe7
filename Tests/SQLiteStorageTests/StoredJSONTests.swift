import ImageGeneration
import NIOCore
import Storage
import Testing

@Suite struct StoredJSONTests {
    static let terminals: [JobEvent] =
        [
            Samples.completed(),
            Samples.completed([Samples.image(0), Samples.image(1)]),
            .completed(
                Completion(
                    images: [], usage: .zero, upstream: "a\u{0}\"\\\u{2028}b", model: "", timings: Timings())),
            .completed(
                Completion(
                    images: [], failures: [], usage: Usage(inputTokens: .max, totalTokens: .min), cost: -0.1,
                    upstream: "x", model: "y", timings: Timings(queued: -1))),
        ]
        + [Cancellation.Reason.client, .disconnect, .operator].flatMap { reason in
            [GatewayError.Billed.no, .maybe, .yes].map {
                JobEvent.cancelled(Cancellation(reason: reason, billed: $0))
            }
        }
        + GatewayError.Code.allCases.map { .error(GatewayError($0, "Failed with \($0.rawValue).")) }
        + [
            .error(
                GatewayError(
                    .invalidJSON, "\u{0}\r\n\u{1F308}", billed: .maybe, retryAfterMilliseconds: 5, upstreamStatus: 503,
                    parameter: "size", position: (3, 4), cause: "a secret\nline"))
        ]

    @Test(arguments: Self.terminals.indices) func terminalEventsComeBack(_ index: Int) throws {
        let event = Self.terminals[index]
        let text = try #require(StoredJSON.terminal(event))
        #expect(!text.contains("\n") && !text.utf8.contains(0))
        #expect(try String(reflecting: StoredJSON.terminal(text)) == String(reflecting: event))
    }

    @Test func otherEventsAreNotTerminal() {
        #expect(StoredJSON.terminal(.textDelta("x")) == nil)
        #expect(StoredJSON.terminal(.stage(StageChange(message: ""))) == nil)
        #expect(StoredJSON.terminal(.image(Samples.image(0))) == nil)
    }

    @Test func infiniteCostIsLeftOut() throws {
        let completion = Completion(
            images: [], usage: .zero, cost: .infinity, upstream: "", model: "", timings: Timings())
        let text = try #require(StoredJSON.terminal(.completed(completion)))
        guard case .completed(let read) = try StoredJSON.terminal(text) else { return #expect(Bool(false)) }
        #expect(read.cost == nil)
    }

    @Test func picturesComeBackWithoutPayloadAndURL() throws {
        var image = Samples.image(7)
        image.payload = ImagePayload(canonical: ByteBuffer(string: "AAAA"))
        image.url = SignedURL(text: "https://x.example/signed", expiresAt: Samples.now)
        let text = StoredJSON.image(image)
        #expect(!text.contains("signed") && !text.contains("AAAA"))
        image.payload = nil
        image.url = nil
        #expect(try String(reflecting: StoredJSON.image(text)) == String(reflecting: image))

        image.usage = nil
        image.revisedPrompt = nil
        #expect(try String(reflecting: StoredJSON.image(StoredJSON.image(image))) == String(reflecting: image))
        #expect(!StoredJSON.image(Samples.image(0), keepsPrompts: false).contains("lamp"))
    }

    @Test func failuresUsageAndTextComeBack() throws {
        let failure = ImageFailure(imageIndex: 2, code: .noImage, message: "\u{0}none")
        #expect(try String(reflecting: StoredJSON.failure(StoredJSON.failure(failure))) == String(reflecting: failure))
        let usage = Usage(inputTokens: 1, inputTextTokens: 2, inputImageTokens: 3, outputTokens: 4, totalTokens: 5)
        #expect(try StoredJSON.usage(StoredJSON.usage(usage)) == usage)
        for text in ["", "\u{0}a\u{0}", "\u{FEFF}\u{2028}", "a\"b\\c"] {
            #expect(try StoredJSON.plainText(StoredJSON.text(text)) == text)
        }
    }

    static let requests: [ImageRequest] = {
        var full = ImageRequest(operation: .edit, prompt: "a\u{0}b \u{1F3DE}")
        full.negativePrompt = "blur"
        full.model = "m"
        full.count = 4
        full.size = .named("auto")
        full.quality = "high"
        full.outputFormat = .webp
        full.outputCompression = 80
        full.background = "opaque"
        full.style = "photo"
        full.seed = .min
        full.partialImages = 3
        full.user = "u"
        full.extensions = ["a": .text("x"), "b": .integer(.max), "c": .boolean(false), "": .text("\u{0}")]
        full.images = [
            InputImage(content: .bytes(ByteBuffer(string: "one")), mediaType: "image/png", fileName: "a.png"),
            InputImage(content: .url("https://x.example/a.png")),
            InputImage(content: .base64(ByteBuffer(string: "dHdv"))),
            InputImage(content: .fileID("file_1"), fileName: "b"),
        ]
        full.mask = InputImage(content: .bytes(ByteBuffer(string: "mask")))
        var ratio = ImageRequest(operation: .generate, prompt: "")
        ratio.size = .aspectRatio(width: 16, height: 9)
        var pixels = ratio
        pixels.size = .pixels(width: 1024, height: 768)
        return [full, ratio, pixels]
    }()

    @Test(arguments: Self.requests.indices) func requestsComeBack(_ index: Int) throws {
        let request = Self.requests[index]
        let parts = StoredJSON.parts(of: request)
        #expect(!parts.request.contains("a\\u0000b") && !parts.request.contains("blur"))
        var read = try StoredJSON.request(parts.request, prompts: parts.prompts)
        try StoredJSON.attach(parts.uploads, to: &read)
        #expect(Self.description(read) == Self.description(request))

        let forgotten = try StoredJSON.request(parts.request, prompts: nil)
        #expect(forgotten.prompt.isEmpty && forgotten.negativePrompt == nil)
    }

    @Test func missingUploadsAreAnError() throws {
        let parts = StoredJSON.parts(of: Self.requests[0])
        var read = try StoredJSON.request(parts.request, prompts: parts.prompts)
        #expect(throws: StoredJSONError.self) { try StoredJSON.attach(Array(parts.uploads.dropLast()), to: &read) }
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{}", "{\"type\":\"later\"}", "{\"type\":\"error\",\"code\":\"new\"}",
        "{\"type\":\"completed\"}", "{\"type\":\"error\",\"code\":5,\"message\":\"\",\"billed\":\"no\"}",
        "{\"type\":\"cancelled\",\"reason\":\"client\",\"billed\":\"perhaps\"}",
    ]) func whatWasNotWrittenHereIsRefused(_ text: String) {
        #expect(throws: StoredJSONError.self) { try StoredJSON.terminal(text) }
        #expect(throws: StoredJSONError.self) { try StoredJSON.image(text) }
        #expect(throws: StoredJSONError.self) { try StoredJSON.request(text, prompts: nil) }
    }

    /// Dictionaries have no order, so they are sorted.
    private static func description(_ request: ImageRequest) -> String {
        var plain = request
        plain.extensions = [:]
        return "\(String(reflecting: plain)) \(request.extensions.sorted { $0.key < $1.key })"
    }
}
