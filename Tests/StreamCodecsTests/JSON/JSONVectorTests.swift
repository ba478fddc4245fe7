import Foundation
import GatewayTesting
import NIOCore
import StreamCodecs
import Testing

/// The third-party vectors: JSONTestSuite, and the strings that break things.
@Suite struct JSONVectorTests {
    private static let folder = SharedFiles.vectors.appendingPathComponent("json")
    private static let strings = SharedFiles.vectors.appendingPathComponent("strings")

    @Test(.enabled(if: SharedFiles.has(folder), "needs the folder vectors/json of the shared data"))
    func parsingTestSuite() throws {
        let names = SharedFiles.names(in: Self.folder).filter { $0.hasSuffix(".json") }
        #expect(names.count == 318)
        for name in names {
            let source = ByteBuffer(bytes: try SharedFiles.bytes(Self.folder.appendingPathComponent(name)))
            let isValid: Bool
            do {
                // The suite holds valid texts with duplicate keys, which the grammar allows.
                _ = try JSONDocument(source, duplicateKeys: .last)
                isValid = true
            } catch {
                isValid = false
                #expect(error.offset <= source.readableBytes && error.line >= 1 && error.column >= 1, "\(name)")
            }
            if name.hasPrefix("y_") { #expect(isValid, "\(name) is valid") }
            if name.hasPrefix("n_") { #expect(!isValid, "\(name) is broken") }
        }
    }

    @Test(
        .enabled(if: SharedFiles.has(strings), "needs the folder vectors/strings of the shared data"),
        arguments: [false, true])
    func naughtyStringsComeBackEqual(asciiOnly: Bool) throws {
        let file = try SharedFiles.bytes(Self.strings.appendingPathComponent("blns.json"))
        let expected = try JSONDecoder().decode([String].self, from: Data(file))
        let parsed = try JSONDocument(ByteBuffer(bytes: file)).root.elements
        #expect(expected.count == 515)
        #expect(parsed.count == expected.count)
        for (text, node) in zip(expected, parsed) {
            #expect(node.string.map { Array($0.utf8) } == Array(text.utf8))
            var writer = JSONWriter(asciiOnly: asciiOnly)
            writer.beginObject()
            writer.key(dynamic: text)
            writer.value(text)
            writer.endObject()
            if asciiOnly { #expect(writer.buffer.readableBytesView.allSatisfy { $0 < 0x80 }) }
            #expect(writer.buffer.readableBytesView.allSatisfy { $0 >= 0x20 }, "one line, whatever the text")
            let member = try #require(try JSONDocument(writer.buffer).root.members.first)
            #expect(Array(member.key.utf8) == Array(text.utf8))
            #expect(member.value.string.map { Array($0.utf8) } == Array(text.utf8))
            let foreign = try JSONDecoder().decode([String: String].self, from: Data(writer.buffer.readableBytesView))
            #expect(foreign.first.map { Array($0.value.utf8) } == Array(text.utf8))
        }
    }
}
