import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Providers
import StreamCodecs
import Testing

/// One folder of `Fixtures/<provider>/<case>`:
///
/// - `request.json`: `configuration` (optional: `base_url`, `api_key`, `model`, `preset`, `definition`, `headers`, `query`,
///   `background`), `request` in the unified spelling, `cancel_after` (optional: call number whose head cancels the job)
/// - `upstream*.http`, `upstream*.sse`, `upstream*.json`: what the upstream answers, in the order of the calls; `.sse` and
///   `.json` are bodies of a 200. A file that holds `[lost]` is a connection lost before the head. The answer of
///   `upstream-1-after-5.json` is held back until answer 5 has been given.
/// - `expected-request.json`: the calls made · `events.json`: what came of it
struct FixtureCase: CustomTestStringConvertible, Sendable {
    let provider: String
    let name: String

    var testDescription: String { "\(self.provider)/\(self.name)" }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")

    static let all: [FixtureCase] = ProviderRegistry.providers.flatMap { provider in
        Self.folders(in: root.appendingPathComponent(provider.name)).map {
            FixtureCase(provider: provider.name, name: $0)
        }
    }

    static func folders(in folder: URL) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { !$0.hasPrefix(".") }
            .sorted()
    }

    var folder: URL { Self.root.appendingPathComponent(self.provider).appendingPathComponent(self.name) }

    func bytes(_ file: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: self.folder.appendingPathComponent(file)))
    }

    func setup() throws -> FixtureSetup {
        try FixtureSetup(JSONDocument(ByteBuffer(bytes: try self.bytes("request.json"))).root)
    }

    func answers() throws -> [FixtureAnswer] {
        try Self.folders(in: self.folder).filter { $0.hasPrefix("upstream") }
            .sorted { $0.localizedStandardCompare($1) == .orderedAscending }
            .map { try FixtureAnswer(file: $0, bytes: self.bytes($0)) }
    }

    /// Read once, replayed often.
    func prepared() throws -> PreparedFixture {
        let setup = try self.setup()
        guard let make = ProviderRegistry.factory(named: self.provider) else {
            throw FixtureProblem("no such provider")
        }
        return PreparedFixture(
            adapter: try make(setup.configuration),
            job: ExchangeJob(id: JobID(high: 1, low: 2), request: setup.request, entropy: 42),
            answers: try self.answers(), cancelAfter: setup.cancelAfter)
    }
}

struct PreparedFixture {
    let adapter: any ProviderAdapter
    let job: ExchangeJob
    let answers: [FixtureAnswer]
    let cancelAfter: Int?

    /// Not played yet.
    func fresh() throws -> Replay {
        Replay(try self.adapter.makeExchange(for: self.job), self.answers, cancelAfter: self.cancelAfter)
    }

    func replay(splits: (Int, Int) -> [Range<Int>] = { [0..<$1] }) throws -> Replay {
        var replay = try self.fresh()
        replay.run(splits: splits)
        return replay
    }
}

struct FixtureProblem: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A response as the driver would hand it over.
struct FixtureAnswer: Sendable {
    var status = 200
    var headers: HTTPFields = [:]
    var body: [UInt8] = []
    /// The connection is lost before the head.
    var isLost = false

    /// The answer that must have been given before this one.
    var after: Int?

    var isStream: Bool { self.headers[.contentType]?.hasPrefix("text/event-stream") ?? false }

    init(file: String, bytes: [UInt8]) throws {
        if let mark = file.range(of: "-after-") { self.after = Int(file[mark.upperBound...].prefix { $0.isNumber }) }
        if file.hasSuffix(".sse") {
            self.headers[.contentType] = "text/event-stream; charset=utf-8"
            self.body = bytes
        } else if file.hasSuffix(".json") {
            self.headers[.contentType] = "application/json"
            self.body = bytes
        } else if bytes.starts(with: "[lost]".utf8) {
            self.isLost = true
        } else {
            try self.parse(bytes)
        }
    }

    private mutating func parse(_ bytes: [UInt8]) throws {
        guard let end = bytes.indices.first(where: { bytes[$0...].starts(with: "\r\n\r\n".utf8) }) else {
            throw FixtureProblem("no end of head")
        }
        let lines = String(decoding: bytes[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        self.status = Int(lines[0].split(separator: " ")[1]) ?? 0
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            if let name = HTTPField.Name(parts[0]) { self.headers[name] = parts[1] }
        }
        self.body = Array(bytes[(end + 4)...])
    }
}

struct FixtureSetup {
    var configuration: ProviderConfiguration
    var request: ImageRequest
    /// The head of this call cancels the job.
    var cancelAfter: Int?

    init(_ root: JSONNode) throws {
        let configuration = root["configuration"]
        self.configuration = ProviderConfiguration(
            name: "fixture", baseURL: configuration?["base_url"]?.string ?? "https://upstream.example/v1",
            apiKey: configuration?["api_key"]?.string ?? "key-of-the-fixture", model: configuration?["model"]?.string,
            preset: configuration?["preset"]?.string, definition: configuration?["definition"],
            background: configuration?["background"]?.boolean ?? false)
        for member in configuration?["headers"]?.members ?? [] {
            if let name = HTTPField.Name(member.key) { self.configuration.headers[name] = member.value.string }
        }
        self.configuration.query = (configuration?["query"]?.members ?? []).map { ($0.key, $0.value.string ?? "") }
        self.cancelAfter = root["cancel_after"]?.integer.map(Int.init)
        guard let request = root["request"] else { throw FixtureProblem("no request") }
        self.request = try Self.request(request)
    }

    private static func request(_ node: JSONNode) throws -> ImageRequest {
        var request = ImageRequest(
            operation: ImageRequest.Operation(rawValue: node["operation"]?.string ?? "generate") ?? .generate,
            prompt: node["prompt"]?.string ?? "")
        request.negativePrompt = node["negative_prompt"]?.string
        request.model = node["model"]?.string
        request.count = node["n"]?.integer.map(Int.init) ?? 1
        request.size = node["size"]?.string.map { .named($0) }
        if let pair = node["aspect_ratio"]?.string?.split(separator: ":").compactMap({ Int($0) }), pair.count == 2 {
            request.size = .aspectRatio(width: pair[0], height: pair[1])
        }
        if let pair = node["pixels"]?.elements.compactMap(\.integer), pair.count == 2 {
            request.size = .pixels(width: Int(pair[0]), height: Int(pair[1]))
        }
        request.quality = node["quality"]?.string
        request.outputFormat = node["output_format"]?.string.flatMap(ImageFormat.init)
        request.outputCompression = node["output_compression"]?.integer.map(Int.init)
        request.background = node["background"]?.string
        request.style = node["style"]?.string
        request.seed = node["seed"]?.integer
        request.partialImages = node["partial_images"]?.integer.map(Int.init)
        request.user = node["user"]?.string
        request.imageModel = node["image_model"]?.string
        request.instructions = node["instructions"]?.string
        request.picture = node["picture"]?.string.flatMap(ImageRequest.PictureWish.init) ?? .always
        for member in node["metadata"]?.members ?? [] { request.metadata[member.key] = member.value.string }
        request.messages = try (node["messages"]?.elements ?? []).map { message in
            ImageRequest.Message(
                role: message["role"]?.string.flatMap(ImageRequest.Message.Role.init) ?? .user,
                text: message["text"]?.string ?? "", images: try (message["images"]?.elements ?? []).map(Self.image))
        }
        request.images = try (node["images"]?.elements ?? []).map(Self.image)
        request.mask = try node["mask"].map(Self.image)
        for member in node["extensions"]?.members ?? [] {
            if let text = member.value.string {
                request.extensions[member.key] = .text(text)
            } else if let flag = member.value.boolean {
                request.extensions[member.key] = .boolean(flag)
            } else if let number = member.value.integer {
                request.extensions[member.key] = .integer(number)
            }
        }
        return request
    }

    private static func image(_ node: JSONNode) throws -> InputImage {
        let type = node["media_type"]?.string
        if let text = node["base64"]?.string {
            return InputImage(content: .base64(ByteBuffer(string: text)), mediaType: type)
        }
        if let text = node["text"]?.string {
            return InputImage(content: .bytes(ByteBuffer(string: text)), mediaType: type)
        }
        if let url = node["url"]?.string { return InputImage(content: .url(url)) }
        if let id = node["file_id"]?.string { return InputImage(content: .fileID(id)) }
        throw FixtureProblem("an image without content")
    }
}
