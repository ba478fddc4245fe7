import Dialects
import Foundation
import GatewayTesting
import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

/// The chunks against what the AI SDK's strict schema takes.
@Suite struct VercelUITests {
    static let dialect = VercelUIDialect()
    private static let recordings = SharedFiles.fixtures.appendingPathComponent("client")

    private static let required: [String: Set<String>] = [
        "start": [], "start-step": [], "finish-step": [], "finish": [], "abort": [], "error": ["errorText"],
        "text-start": ["id"], "text-delta": ["id", "delta"], "text-end": ["id"], "file": ["url", "mediaType"],
    ]

    private static func chunks(_ job: CanonicalJob, _ delivery: Delivery) throws -> [JSONNode] {
        let context = try DialectConformanceTests.context(Self.dialect, delivery: delivery)
        let events = EventStreamReader.events(DialectDriving.stream(Self.dialect, context, job.events))
        #expect(events.last?.data == "[DONE]")
        return try events.dropLast().map { try JSONDocument(ByteBuffer(string: $0.data)).root }
    }

    @Test(arguments: CanonicalJob.allCases, [Delivery.url, .inline])
    func everyChunkIsOfTheSchema(_ job: CanonicalJob, _ delivery: Delivery) throws {
        for chunk in try Self.chunks(job, delivery) {
            let type = try #require(chunk["type"]?.string)
            if type.hasPrefix("data-") {
                #expect(chunk["data"] != nil)
                #expect(chunk["transient"]?.boolean == (type == "data-image-preview" ? true : nil))
            } else {
                let required = try #require(Self.required[type], "\(type)")
                #expect(required.isSubset(of: Set(chunk.members.map(\.key))))
            }
        }
    }

    @Test func endsAsTheJobEnds() throws {
        let ends = try CanonicalJob.allCases.map { job in
            try Self.chunks(job, .url).suffix(2).map { $0["type"]?.string ?? "" }
        }
        #expect(ends == [["finish-step", "finish"], ["error", "finish"], ["data-image-preview", "abort"]])
    }

    /// The sequence of types of the recorded stream, our text and second preview aside.
    @Test(.enabled(if: SharedFiles.has(recordings), "needs the folder reference/fixtures of the shared data"))
    func followsTheRecordedOrder() throws {
        let fixture = try SharedFiles.bytes(Self.recordings.appendingPathComponent("vercel-ui-message-stream.sse"))
        let recorded = EventStreamReader.events(fixture).dropLast().compactMap {
            try? JSONDocument(ByteBuffer(string: $0.data)).root["type"]?.string
        }
        func order(_ types: [String]) -> [String] {
            types.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
        }
        let ours = try Self.chunks(.completed, .inline).compactMap { $0["type"]?.string }
        #expect(order(ours.filter { !$0.hasPrefix("text-") }) == order(recorded))
    }

    @Test func deliveryDecidesWhatAFileIs() throws {
        for (delivery, prefix) in [(Delivery.url, "https://"), (.inline, "data:image/png;base64,")] {
            let file = try #require(try Self.chunks(.completed, delivery).first { $0["type"]?.string == "file" })
            #expect(file["url"]?.string?.hasPrefix(prefix) == true)
        }
    }

    /// The SDK shows the whole body to the user, and knows the stream by its header.
    @Test func errorsAreShortTexts() throws {
        let response = Self.dialect.render(GatewayError(.refused, "Not this."), requestID: "r")
        #expect(
            String(buffer: response.body) == "Not this."
                && response.headers[.contentType]?.hasPrefix("text/plain") == true)
        let name = try #require(HTTPField.Name("x-vercel-ai-ui-message-stream"))
        #expect(Self.dialect.traits.streamHeaders[name] == "v1")
    }
}
