import Foundation
import Providers
import Testing

/// Adding a provider touches one folder and one line; adding a queued service touches `routes.json` alone, which the tests of
/// `docs/adding-a-provider.md`'s block show.
@Suite struct ProviderRegistryTests {
    private static let sources = FixtureCase.root.deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Sources")

    /// Swift files below, with their text.
    private static func files() throws -> [(path: String, text: String)] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: Self.sources.path).filter {
            $0.hasSuffix(".swift")
        }
        return try paths.map { path in
            (path, String(decoding: try Data(contentsOf: Self.sources.appendingPathComponent(path)), as: UTF8.self))
        }
    }

    @Test func aProviderIsAFolderAndALine() throws {
        let files = try Self.files()
        let registry = "Providers/ProviderRegistry.swift"
        let list = try #require(files.first { $0.path == registry }).text
        for provider in ProviderRegistry.providers {
            let lines = list.split(separator: "\n").filter { $0.contains("Entry(\"\(provider.name)\", ") }
            #expect(lines.count == 1, "\(provider.name)")
            let line = try #require(lines.first)
            let adapter = try #require(line.split(separator: " ").last?.prefix { $0 != "." }).description
            let home = try #require(files.first { $0.text.contains("struct \(adapter): RegisteredAdapter") }).path
            let folder = home.split(separator: "/").dropLast().joined(separator: "/")
            #expect(folder.split(separator: "/").count == 2, "\(home) is not in a folder of its own")
            // Whoever else named it would have to be changed too.
            let others = files.filter {
                $0.path != registry && !$0.path.hasPrefix(folder + "/") && $0.text.contains(adapter)
            }
            #expect(others.map(\.path) == [], "\(adapter)")
        }
        #expect(list.components(separatedBy: "Entry(\"").count - 1 == ProviderRegistry.providers.count)
    }

    /// The configuration takes what the registry holds, presets among it.
    @Test func presetsAreTheFamilysOwn() throws {
        for provider in ProviderRegistry.providers {
            for preset in provider.presets {
                let configuration = ProviderConfiguration(
                    name: "u", baseURL: "https://a.example", model: "m", preset: preset)
                #expect(throws: Never.self, "\(provider.name) \(preset)") { try provider.make(configuration) }
            }
        }
    }
}
