import ImageGeneration
import NIOCore
import StreamCodecs
import Testing

@testable import Providers

@Suite struct OpenAIResponsesTests {
    @Test(arguments: [
        "", "resp_1", "[]", "{}", #"{"v":2,"provider":"openai-responses","id":"r","streams":true}"#,
        #"{"v":1,"provider":"queue","id":"r","streams":true}"#, #"{"v":1,"provider":"openai-responses","id":"r"}"#,
        #"{"v":1,"provider":"openai-responses","id":"..","streams":true}"#,
        #"{"v":1,"provider":"openai-responses","id":"a b","streams":true}"#,
        #"{"v":1,"provider":"openai-responses","id":"r","streams":true,"x":1}"#,
    ])
    func whatIsNoHandleIsNotPickedUp(_ text: String) { #expect(OpenAIResponsesHandle(text) == nil) }

    @Test func handlesAreReadBack() throws {
        let handle = try #require(OpenAIResponsesHandle(id: "resp_1/../2", streams: false))
        #expect(OpenAIResponsesHandle(handle.text) == handle)
        #expect(handle.path == "/responses/resp_1%2F..%2F2")
        #expect(OpenAIResponsesHandle(id: String(repeating: "a", count: 257), streams: true) == nil)
    }

    /// An upstream that replays its stream from the start tells nothing twice.
    @Test func repeatedEventsAreSkipped() throws {
        let text =
            #"data: {"type":"response.output_text.delta","sequence_number":3,"delta":"a"}"# + "\n\n"
            + #"data: {"type":"response.output_text.delta","sequence_number":3,"delta":"a"}"# + "\n\n"
            + #"data: {"type":"response.output_text.delta","sequence_number":2,"delta":"b"}"# + "\n\n"
            + #"data: {"type":"response.output_text.delta","delta":"c"}"# + "\n\n"
        #expect(try Self.played(text).text == "ac")
    }

    @Test(arguments: [
        "data: []\n\n", "data: 1\n\n", "data: {\"type\":7}\n\n", "data: {\"type\":\"response.completed\"}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":7}\n\n",
        "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[7,null,[]]}}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"image_generation_call\",\"result\":7}}\n\n",
        "data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"image_generation_call\",\"result\":\"A\"}}\n\n",
        "data: {\"type\":\"response.image_generation_call.partial_image\",\"partial_image_b64\":\"\"}\n\n",
        "event: error\ndata: {}\n\n",
        "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":\"no\"}}\n\n",
    ])
    func nonsenseIsAnError(_ text: String) throws {
        let replay = try Self.played(text)
        #expect(replay.isFinished && replay.failure != nil && replay.images.isEmpty)
    }

    @Test func itemsBeyondTheBoundAreNotLookedAt() throws {
        let item = #"{"type":"image_generation_call","id":"%","result":null}"#
        let items = (0..<500).map { item.replacing("%", with: "i\($0)") }.joined(separator: ",")
        let replay = try Self.played(
            "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[\(items)]}}\n\n")
        #expect(replay.failure?.code == .noImage && replay.failedImages == [0])
    }

    private static func played(_ text: String) throws -> Replay {
        let adapter = try OpenAIResponsesAdapter(ProviderConfiguration(name: "u", baseURL: "https://a", model: "m"))
        var request = ImageRequest(operation: .generate, prompt: "p")
        request.partialImages = 3
        let job = ExchangeJob(id: JobID(high: 1, low: 2), request: request, entropy: 1)
        var replay = Replay(
            try adapter.makeExchange(for: job), [try FixtureAnswer(file: "a.sse", bytes: Array(text.utf8))])
        replay.run()
        return replay
    }
}
