import Foundation
import GatewayTesting
import Testing

@testable import Gateway

/// Whatever the bytes are, reading ends with problems and never with a crash.
struct RoutesFileHardeningTests {
    private static let vectors = SharedFiles.vectors.appendingPathComponent("json")

    @Test(.enabled(if: SharedFiles.has(vectors), "shared/vectors/json is absent"))
    func foreignDocumentsAreRefused() throws {
        let names = SharedFiles.names(in: Self.vectors)
        #expect(names.count > 300)
        for name in names {
            let bytes = try SharedFiles.bytes(Self.vectors.appendingPathComponent(name))
            let loaded = ConfigurationFixture.load(bytes)
            #expect(loaded.table == nil && loaded.problems.hasErrors, "\(name)")
            self.checkRendering(loaded)
        }
    }

    @Test(.enabled(if: SharedFiles.has(vectors), "shared/vectors/json is absent"))
    func foreignValuesInEveryPlace() throws {
        for name in SharedFiles.names(in: Self.vectors) where name.hasPrefix("y_") {
            let text = String(decoding: try SharedFiles.bytes(Self.vectors.appendingPathComponent(name)), as: UTF8.self)
            for file in [
                ConfigurationFixture.file(route: ", \"force\": \(text)"),
                ConfigurationFixture.file(more: ", \"server\": \(text)"),
                ConfigurationFixture.file(more: ", \"limits\": \(text)"),
                "{\"upstreams\": \(text), \"routes\": [\(text)]}",
                ConfigurationFixture.file(upstream: ", \"api_key\": \(text)"),
            ] {
                self.checkRendering(ConfigurationFixture.load(file))
            }
        }
    }

    @Test func cutAnywhere() {
        let bytes = Array(DesignSample.text.utf8)
        for end in stride(from: 0, to: bytes.count - 1, by: 13) {
            #expect(ConfigurationFixture.load(Array(bytes[..<end])).table == nil, "\(end)")
        }
    }

    @Test(arguments: [UInt8(0x00), 0x22, 0x2C, 0x30, 0x5C, 0x7D, 0xC3, 0xFF])
    func oneByteReplaced(byte: UInt8) {
        let bytes = Array(ConfigurationFixture.file(route: #", "match": {"model": ["a*"]}"#).utf8)
        for index in bytes.indices {
            var changed = bytes
            changed[index] = byte
            self.checkRendering(ConfigurationFixture.load(changed))
        }
    }

    @Test func valuesOfAnotherKind() {
        let values = ["null", "-1", "1e400", "\"\"", "\"\\u0000\"", "[[]]", "{\"\": {}}", "true"]
        let words = DesignSample.text.split(separator: ": ", omittingEmptySubsequences: false)
        for index in words.indices.dropFirst() {
            let rest = words[index...].joined(separator: ": ")
            let value = values[index % values.count]
            let text = words[..<index].joined(separator: ": ") + ": \(value), \"x\": " + rest
            self.checkRendering(ConfigurationFixture.load(text))
        }
    }

    @Test func manyProblemsStayCheap() {
        let keys = (0..<20_000).map { "\"k\($0)\": 1" }.joined(separator: ",")
        let loaded = ConfigurationFixture.load("{\(keys)}")
        #expect(loaded.problems.count == 20_002)
    }

    @Test func deepNesting() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(ConfigurationFixture.load(deep).problems.count == 1)
        let allowed = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
        #expect(
            ConfigurationFixture.load(ConfigurationFixture.file(more: ", \"groups\": {\"a\": \(allowed)}")).table == nil
        )
    }

    /// One line each, without control characters: terminals and logs show them.
    private func checkRendering(_ loaded: LoadedConfiguration) {
        for problem in loaded.problems {
            let line = problem.rendered(file: "f")
            #expect(!line.unicodeScalars.contains { $0.properties.generalCategory == .control }, "\(line)")
            #expect(problem.place.line >= 1 && problem.place.column >= 1)
        }
        #expect((loaded.table == nil) == loaded.problems.hasErrors)
    }
}
