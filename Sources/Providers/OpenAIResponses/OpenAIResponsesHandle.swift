import NIOCore
import StreamCodecs

/// What is needed to go on with a background response: its id, and whether it streams. As text
/// `{"v":1,"provider":"openai-responses","id":"resp_…","streams":true}`.
struct OpenAIResponsesHandle: Equatable, Sendable {
    /// Raised whenever a reader of today could misread the text.
    static let version = 1
    static let provider = "openai-responses"

    let id: String
    /// The service answered with a stream; one that did not can only be asked.
    let streams: Bool

    /// Nil for an id that cannot be named in a URL and a log.
    init?(id: String, streams: Bool) {
        guard QueueHandle.isUsable(jobID: id) else { return nil }
        self.id = id
        self.streams = streams
    }

    /// Nil for text that is no handle, is another provider's, or a later version's.
    init?(_ text: String) {
        guard text.utf8.count <= 1024,
            let root = try? JSONDocument(ByteBuffer(string: text), maximumNesting: 2, maximumNodes: 16).root,
            root.kind == .object, root.members.count == 4, root["v"]?.integer == Int64(Self.version),
            root["provider"]?.string == Self.provider, let id = root["id"]?.string,
            let streams = root["streams"]?.boolean
        else { return nil }
        self.init(id: id, streams: streams)
    }

    var text: String {
        var json = JSONWriter()
        json.beginObject()
        json.field("v", Self.version)
        json.field("provider", Self.provider)
        json.field("id", self.id)
        json.field("streams", self.streams)
        json.endObject()
        return String(buffer: json.buffer)
    }

    /// Path of the response below the base URL.
    var path: String { "/responses/" + QueueURL.encoded(self.id, keeping: "-._~") }
}
