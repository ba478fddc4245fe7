import Foundation
import ImageGeneration
import Testing

@testable import Gateway

struct ShippedFilesTests {
    @Test func sampleOfAllKeysIsRefusedOnlyForWhatIsLater() {
        let loaded = ConfigurationFixture.load(DesignSample.text, environment: DesignSample.environment)
        #expect(loaded.table == nil)
        #expect(loaded.problems.map(\.place.path) == [DesignSample.missing] + DesignSample.refused)
        #expect(
            loaded.problems.dropFirst().allSatisfy {
                $0.severity == .error && $0.message.contains("not available yet")
            })
    }

    /// The real upstreams of the shipped file and where their keys come from, in its order.
    private static let keys: [(name: String, key: String)] = [
        ("openai", "OPENAI_API_KEY"), ("chatgpt", "OPENAI_API_KEY"), ("gemini", "GEMINI_API_KEY"),
        ("stability", "STABILITY_API_KEY"), ("fal", "FAL_KEY"), ("replicate", "REPLICATE_API_TOKEN"),
        ("flux", "BFL_API_KEY"),
    ]

    @Test func shippedFileRunsWithoutKeys() throws {
        let loaded = ConfigurationFixture.load(try ProjectFile.bytes("routes.json"), catalog: .current)
        #expect(loaded.errors.map { $0.rendered(file: "routes.json") } == [])
        #expect(
            loaded.problems.map(\.message)
                == Self.keys.map { name, key in
                    "upstream \"\(name)\" is unavailable: environment variable \(key) is not set"
                })
        let table = try #require(loaded.table)
        #expect(table.routes.allSatisfy { $0.upstreams.contains { $0.upstream.isAvailable } })
        #expect(table.routes.allSatisfy { $0.upstreams.allSatisfy { $0.timeouts.idle > .seconds(90) } })
        #expect(table.routes.allSatisfy { $0.upstreams.allSatisfy { $0.timeouts.firstByte > .seconds(90) } })
        #expect(table.server.listen.isLoopback && table.admin.listen.isLoopback)
        #expect(table.storage.images?.disk == "/etc/gateway/var/images")
        #expect(table.storage.images?.secret == .generated(file: "/etc/gateway/var/keys/image-urls"))
    }

    @Test func shippedFilePrefersTheRealUpstream() throws {
        let bytes = try ProjectFile.bytes("routes.json")
        let environment = Dictionary(Self.keys.map { ($0.key, "key-of-a-test") }) { first, _ in first }
        let loaded = ConfigurationFixture.load(bytes, environment: environment, catalog: .current)
        #expect(loaded.problems == [])
        let table = try #require(loaded.table)
        let real = Self.keys.map(\.name)
        #expect(
            table.routes.allSatisfy { route in route.upstreams.first.map { real.contains($0.upstream.name) } ?? false })
        #expect(table.routes.allSatisfy { $0.upstreams.first?.upstream.isAvailable == true })
    }

    @Test(arguments: [
        ("/v1/generate", "unified", "generate"), ("/v1/edit", "unified", "edit"),
        ("/v1/generate/chatgpt", "unified", "generate"), ("/v1/generate/gemini", "unified", "generate"),
        ("/v1/generate/stability", "unified", "generate"), ("/v1/generate/fal", "unified", "generate"),
        ("/v1/generate/replicate", "unified", "generate"), ("/v1/generate/flux", "unified", "generate"),
        ("/v1/generate.ndjson", "ndjson", "generate"),
        ("/v1/images/generations", "openai-images", "generate"), ("/v1/images/edits", "openai-images", "edit"),
        ("/api/v1/images/generate/stream", "stages", "generate"), ("/v1/responses", "openai-responses", "generate"),
        ("/replicate/v1/predictions", "replicate", "generate"), ("/fal/fal-ai/flux/dev", "fal-queue", "generate"),
        ("/api/images/generate-streaming", "progressive", "generate"),
        ("/api/images/edit-streaming", "progressive", "edit"), ("/api/gallery/generate", "gallery", "generate"),
        ("/api/gallery/edit", "gallery", "edit"), ("/api/chat/stream", "chat", "generate"),
        ("/api/chat", "vercel-ui", "generate"),
    ])
    func shippedPaths(path: String, dialect: String, operation: String) throws {
        let table = try #require(
            ConfigurationFixture.load(try ProjectFile.bytes("routes.json"), catalog: .current).table)
        let route = try #require(table.candidates(path: path)?.match(model: nil))
        #expect(route.dialect == dialect)
        #expect(route.operation.rawValue == operation)
    }

    @Test func firstFileOfTheDocumentationWorks() throws {
        let page = String(decoding: try ProjectFile.bytes("docs/routes.md"), as: UTF8.self)
        let start = try #require(page.range(of: "```json\n"))
        let end = try #require(page.range(of: "```", range: start.upperBound..<page.endIndex))
        let loaded = ConfigurationFixture.load(String(page[start.upperBound..<end.lowerBound]), catalog: .current)
        #expect(loaded.problems == [])
        #expect(loaded.table?.routes.map(\.name) == ["unified:/v1/generate"])
    }

    @Test func loadsFromDisk() throws {
        let loaded = RoutesFile.load(ProjectFile.root.appendingPathComponent("routes.json").path)
        #expect(loaded.errors == [])
        #expect(loaded.table?.storage.images?.disk == ProjectFile.root.appendingPathComponent("var/images").path)
        let missing = RoutesFile.load("/nonexistent/routes.json")
        #expect(missing.lines == ["1:1: error: $: the file cannot be read: No such file or directory"])
        #expect(RoutesFile.load("/").lines == ["1:1: error: $: the file cannot be read: not an ordinary file"])
    }
}
