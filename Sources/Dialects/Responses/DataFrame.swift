import ImageGeneration
import NIOCore
import StreamCodecs

/// One `data:` frame for clients that split each network read at newlines: ASCII only, since such clients also decode
/// each read by itself. Small texts run together; payloads stand between them as the slices they are.
struct DataFrame {
    /// The frame's object, open for members.
    var json = JSONWriter(ByteBuffer(), asciiOnly: true)

    init() {
        self.json.buffer.writeStaticString("data: ")
        self.json.beginObject()
    }

    init(type: StaticString) {
        self.init()
        self.json.field("type", staticText: type)
    }

    /// A member whose value is the payload's text. What was written before goes to `out`.
    mutating func field(_ key: StaticString, payload: ImagePayload, into out: inout FrameOutput) {
        self.json.key(key)
        self.json.beginSplicedString()
        out.splice(self.json.takeBuffer())
        out.splice(payload)
        self.json.endSplicedString()
    }

    /// An upstream's word; nothing where it has none.
    mutating func field(_ key: StaticString, word: String) { self.json.field(key, FrontendWord.cut(word)) }

    mutating func end(into out: inout FrameOutput) {
        self.json.endObject()
        self.json.buffer.writeStaticString("\n\n")
        out.splice(self.json.takeBuffer())
    }
}

/// Words of an upstream in frames that carry a URL: cut, so that such a frame stays one network read.
enum FrontendWord {
    /// Unicode scalars.
    private static let length = 16

    /// Nil where there is none.
    static func cut(_ word: String) -> String? {
        guard !word.isEmpty else { return nil }
        return String(String.UnicodeScalarView(word.unicodeScalars.prefix(self.length)))
    }
}

extension EncoderContext {
    /// Where the newest preview can be fetched; another text for each, so that it is shown anew.
    func previewURL(_ preview: PartialImage, at event: SequencedEvent) -> String {
        "\(self.publicURL)/v1/jobs/\(self.job.text)/previews/\(preview.imageIndex)?at=\(event.sequence.rawValue)"
    }
}
