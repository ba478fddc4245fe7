import NIOCore
import StreamCodecs

/// One event of an Images stream.
struct ImageEvent {
    enum Kind {
        case partial(Int)
        case completed
    }

    let job: OpenAIImagesJob
    let kind: Kind
    /// Unix seconds.
    let createdAt: Int64

    private var name: String {
        let family = self.job.edit ? "image_edit" : "image_generation"
        switch self.kind {
        case .partial: return "\(family).partial_image"
        case .completed: return "\(family).completed"
        }
    }

    /// The event's bytes, the payload uncopied among them.
    func pieces(payload: ByteBuffer, malformed: SimulatorScript.Malformation? = nil) -> [ByteBuffer] {
        if malformed == .sse { return [MalformedContent.garbage] }
        var writer = JSONWriter(ByteBuffer(string: "event: \(self.name)\ndata: "))
        writer.beginObject()
        writer.field("type", self.name)
        if malformed == .event {
            self.writeWrongFields(into: &writer)
            return [writer.takeBuffer()]
        }
        writer.key("b64_json")
        writer.beginSplicedString()
        var pieces = [writer.takeBuffer()]
        pieces += malformed == .base64 ? MalformedContent.breakBase64(payload) : [payload]
        writer.endSplicedString()
        self.writeFields(into: &writer)
        writer.endObject()
        pieces.append(writer.takeBuffer())
        if malformed == .json { pieces = MalformedContent.cut(pieces) }
        pieces.append(Self.blankLine)
        return pieces
    }

    private func writeFields(into writer: inout JSONWriter) {
        writer.field("created_at", self.createdAt)
        writer.field("size", self.job.request.size)
        writer.field("quality", self.job.request.quality)
        writer.field("background", self.job.request.background)
        writer.field("output_format", staticText: "png")
        switch self.kind {
        case .partial(let index): writer.field("partial_image_index", index)
        case .completed: self.job.writeUsage(images: 1, whole: false, into: &writer)
        }
    }

    private func writeWrongFields(into writer: inout JSONWriter) {
        writer.field("created_at", "yesterday")
        writer.field("size", 1024)
        writer.key("usage")
        writer.beginArray()
        writer.endArray()
        writer.endObject()
        writer.buffer.writeImmutableBuffer(Self.blankLine)
    }

    private static let blankLine = ByteBuffer(string: "\n\n")

    static let unknown = ByteBuffer(
        string: "event: image_generation.simulated_notice\n"
            + "data: {\"type\":\"image_generation.simulated_notice\",\"note\":\"no client knows this event\"}\n\n")

    /// - Parameter flat: the error's fields beside `type` instead of in an `error` object.
    static func failure(_ error: SimulatorError, flat: Bool) -> ByteBuffer {
        var writer = JSONWriter(ByteBuffer(string: "event: error\ndata: "))
        writer.beginObject()
        writer.field("type", staticText: "error")
        if flat {
            writer.field("code", error.code)
            writer.field("message", error.message)
            writer.key("param")
            writer.null()
            writer.field("sequence_number", 1)
        } else {
            writer.key("error")
            error.writeOpenAIError(into: &writer)
        }
        writer.endObject()
        var frame = writer.takeBuffer()
        frame.writeImmutableBuffer(Self.blankLine)
        return frame
    }
}
