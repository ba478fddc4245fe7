import Foundation
import GatewayTesting
import Providers
import Testing

/// The recorded and constructed answers of upstreams that lie beside the checkout: each is an answer in at least one fixture, and so
/// replayed whole, byte by byte, at every split and cut at every byte by the conformance tests.
@Suite struct TranscriptCoverageTests {
    /// What no provider of the registry reads, and why.
    private static let foreign = [
        "comfyui-": "ComfyUI speaks over a WebSocket; there is no provider for it yet",
        "fal-webhook-": "the gateway asks upstreams and is called by none",
        "fal-model-stream": "fal's queue is spoken, not its streams beside the queue",
    ]

    @Test(.enabled(if: SharedFiles.has(SharedFiles.fixtures), "needs the folder reference/fixtures of the shared data"))
    func everyTranscriptIsAnAnswerOfAFixture() throws {
        var known: Set<Data> = []
        for fixture in FixtureCase.all {
            for file in FixtureCase.folders(in: fixture.folder) where file.hasPrefix("upstream") {
                known.insert(Self.content(try fixture.bytes(file)))
            }
        }
        let files = SharedFiles.names(in: SharedFiles.fixtures).filter { name in
            ["json", "http", "sse", "txt", "jsonl"].contains(where: { name.hasSuffix(".\($0)") })
                && name != "images.json"
                && !Self.foreign.keys.contains(where: { name.hasPrefix($0) })
        }
        #expect(files.count > 90)
        for file in files {
            let bytes = try SharedFiles.bytes(SharedFiles.fixtures.appendingPathComponent(file))
            #expect(known.contains(Self.content(bytes)), "no fixture answers with \(file)")
        }
    }

    /// The body; of JSON what it says, however it is spaced.
    private static func content(_ bytes: [UInt8]) -> Data {
        var body = Data(bytes)
        if body.starts(with: Data("HTTP/".utf8)), let end = body.range(of: Data("\r\n\r\n".utf8)) {
            body = Data(body[end.upperBound...])
        }
        guard let value = try? JSONSerialization.jsonObject(with: body, options: .fragmentsAllowed) else { return body }
        return (try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .fragmentsAllowed])) ?? body
    }
}
