import Foundation
import ImageGeneration
import Testing

@testable import Providers

/// `docs/providers.md` says of every provider and preset what its code says.
@Suite struct ParameterTableTests {
    /// Rows that are no optional parameters: every provider takes a prompt, and the others are never refused.
    private static let others: Set<String> = [
        "prompt", "messages", "instructions", "model", "image_model", "picture", "metadata", "partial_images",
    ]

    /// Column → the fields that have a place there.
    private static func columns() throws -> [String: Set<String>] {
        let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/providers.md")
        var columns: [String: Set<String>] = [:]
        var names: [String] = []
        for line in try String(contentsOf: page, encoding: .utf8).split(
            separator: "\n", omittingEmptySubsequences: false)
        {
            guard line.hasPrefix("|") else {
                names = []
                continue
            }
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `")) }
            if cells.first == "field" {
                names = Array(cells.dropFirst())
            } else {
                for (name, cell) in zip(names, cells.dropFirst()) where cell != "–" && !cell.hasPrefix("---") {
                    let fields = cells[0].split(separator: ",").map {
                        $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
                    }
                    columns[name, default: []].formUnion(fields)
                }
            }
        }
        return columns.mapValues { $0.subtracting(Self.others) }
    }

    @Test(arguments: ["openai-images", "openai-responses", "gemini", "automatic1111"])
    func providersAreAsTheTableSays(_ provider: String) throws {
        let make = try #require(ProviderRegistry.factory(named: provider))
        let adapter = try make(ProviderConfiguration(name: "u", baseURL: "https://a"))
        #expect(try Self.columns()[provider] == adapter.capabilities.parameters)
    }

    @Test func presetsAreAsTheTableSays() throws {
        let columns = try Self.columns()
        #expect(!SyncAdapter.presets.isEmpty)
        for preset in SyncAdapter.presets {
            let adapter = try SyncAdapter(ProviderConfiguration(name: "u", baseURL: "https://a", preset: preset))
            #expect(columns[preset] == adapter.capabilities.parameters, "\(preset)")
        }
    }
}
