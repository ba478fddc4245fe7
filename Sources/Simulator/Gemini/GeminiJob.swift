import NIOCore
import StreamCodecs

/// One accepted request: what it draws, and what it says when.
struct GeminiJob: Sendable {
    let request: GeminiRequest
    let model: String
    let script: SimulatorScript
    let cache: PictureCache
    /// Unix milliseconds.
    let start: Int64

    private var picture: Picture {
        var subject = self.request.inputHash
        subject.combine(self.request.prompt.utf8)
        return Picture(
            key: Picture.key(subject: subject.value, seed: self.script.seed ?? self.request.seed ?? 0),
            width: self.request.width, height: self.request.height)
    }

    func draw(_ index: Int, _ development: Development = .finished) async throws -> ByteBuffer {
        try await self.cache.entry(self.picture.sibling(index), development, paddedTo: self.script.payload).base64
    }

    /// Drafts among the thoughts; more than two no model shows.
    private var drafts: Int { self.request.drawsPictures ? min(self.script.previews, 2) : 0 }

    private func moment(_ share: Int, of whole: Int) -> Int64 {
        self.start + self.script.duration.milliseconds * Int64(share) / Int64(whole)
    }

    // MARK: - As a stream

    func write(to stream: inout ResponseStream) async throws {
        try await stream.send(GeminiChunk(self, .thought("Planning the composition.")).frame())
        if self.script.unknownEvent {
            try await stream.send([ByteBuffer(string: "data: {\"simulatedNotice\":true}\n\n")])
        }
        for step in 0..<(self.script.earlyFinal ? min(1, self.drafts) : self.drafts) {
            let draft = try await self.draw(0, .preview(step: step, count: self.drafts))
            try await stream.visit.pause(until: self.moment(step + 1, of: self.drafts + 1))
            try await stream.send(GeminiChunk(self, .picture(draft, isDraft: true)).frame())
            if self.script.stall == .afterPreview(step) { try await stream.visit.stall() }
            if step == 0, try await self.breaksOff(&stream) { return }
        }
        if self.drafts == 0, self.script.refuse == .stream || self.script.fail != nil {
            try await stream.visit.pause(until: self.moment(1, of: 2))
            if try await self.breaksOff(&stream) { return }
        }
        if case .afterPreview = self.script.stall { try await stream.visit.stall() }
        if !self.script.earlyFinal { try await stream.visit.pause(until: self.moment(1, of: 1)) }
        try await self.writeResult(to: &stream)
    }

    /// - Returns: true when the stream is over.
    private func breaksOff(_ stream: inout ResponseStream) async throws -> Bool {
        if self.script.refuse == .stream {
            try await stream.send(GeminiChunk(self, .end("IMAGE_SAFETY")).frame(), last: true)
            return true
        }
        guard let failure = self.script.fail else { return false }
        // The service has ended streams by an error outside of any event.
        let error = GeminiEndpoint.document(of: GeminiEndpoint.overloaded)
        let isBare = failure == .nested
        let pieces = isBare ? [error] : [ByteBuffer(string: "data: "), error, ByteBuffer(string: "\n\n")]
        try await stream.send(pieces, last: true)
        return true
    }

    private func writeResult(to stream: inout ResponseStream) async throws {
        try await stream.send(GeminiChunk(self, .text("Here is what you asked for.")).frame())
        if self.script.noTerminal { return }
        let malformed = self.script.malformed
        if self.request.drawsPictures {
            let payload = try await self.draw(0)
            if stream.visit.presence.isGone { throw ClientGone() }
            let chunk = GeminiChunk(self, .picture(payload, isDraft: false))
            try await stream.send(chunk.frame(malformed: malformed), last: self.script.stall == .mid)
            if malformed == .json || malformed == .sse { return }
        }
        try await stream.send(GeminiChunk(self, .end("STOP")).frame(), last: true)
    }

    // MARK: - At once

    func wait(_ visit: Visit) async throws {
        let fails = self.script.fail != nil
        try await visit.pause(until: self.moment(fails ? 1 : 2, of: 2))
        if case .afterPreview = self.script.stall { try await visit.stall() }
        guard fails else { return }
        var error = GeminiEndpoint.overloaded
        error.script = self.script
        throw error
    }

    func document() async throws -> [ByteBuffer] {
        if self.script.refuse == .stream { return GeminiChunk(self, .end("IMAGE_SAFETY")).document() }
        guard self.request.drawsPictures else {
            return GeminiChunk(self, .whole("Here is what you asked for.", nil)).document()
        }
        return GeminiChunk(self, .whole("Here is what you asked for.", try await self.draw(0))).document(
            malformed: self.script.malformed)
    }

    /// Imagen's answer: predictions, or the reason why there is none.
    func predictions() async throws -> [ByteBuffer] {
        var writer = PieceWriter(ByteBuffer())
        writer.json.beginObject()
        writer.json.key("predictions")
        writer.json.beginArray()
        for index in 0..<self.request.count where self.script.malformed != .event {
            writer.json.beginObject()
            if self.script.refuse == .stream {
                writer.json.field("raiFilteredReason", staticText: "Unable to show generated images: filtered.")
            } else {
                writer.json.field("mimeType", staticText: "image/png")
                writer.splice(
                    "bytesBase64Encoded", try await self.draw(index), breaks: self.script.malformed == .base64)
            }
            writer.json.endObject()
        }
        writer.json.endArray()
        writer.json.endObject()
        return Self.spoilt(writer.finish(), self.script.malformed)
    }

    static func spoilt(_ pieces: [ByteBuffer], _ malformed: SimulatorScript.Malformation?) -> [ByteBuffer] {
        switch malformed {
        case .json: MalformedContent.cut(pieces)
        case .sse: [MalformedContent.garbage]
        default: pieces
        }
    }
}

/// One `GenerateContentResponse`.
struct GeminiChunk {
    enum Content {
        case thought(String)
        case text(String)
        case picture(ByteBuffer, isDraft: Bool)
        /// The reason why it ended.
        case end(String)
        /// Everything in one answer.
        case whole(String, ByteBuffer?)
    }

    private let job: GeminiJob
    private let content: Content

    init(_ job: GeminiJob, _ content: Content) {
        self.job = job
        self.content = content
    }

    /// As the service sends them: no event name, lines ended by CRLF.
    func frame(malformed: SimulatorScript.Malformation? = nil) -> [ByteBuffer] {
        if malformed == .sse { return [MalformedContent.garbage] }
        return [ByteBuffer(string: "data: ")] + self.document(malformed: malformed) + [ByteBuffer(string: "\r\n\r\n")]
    }

    func document(malformed: SimulatorScript.Malformation? = nil) -> [ByteBuffer] {
        var writer = PieceWriter(ByteBuffer())
        writer.json.beginObject()
        writer.json.key("candidates")
        if malformed == .event {
            writer.json.value("none")
        } else {
            self.writeCandidates(breaks: malformed == .base64, into: &writer)
        }
        self.writeUsage(into: &writer.json)
        writer.json.field("modelVersion", self.job.model)
        writer.json.field("responseId", "sim\(self.job.start)")
        writer.json.endObject()
        return GeminiJob.spoilt(writer.finish(), malformed)
    }

    private func writeCandidates(breaks: Bool, into writer: inout PieceWriter) {
        writer.json.beginArray()
        writer.json.beginObject()
        writer.json.key("content")
        writer.json.beginObject()
        writer.json.key("parts")
        writer.json.beginArray()
        switch self.content {
        case .thought(let text): self.writePart(text: text, isThought: true, into: &writer)
        case .text(let text): self.writePart(text: text, into: &writer)
        case .picture(let payload, let isDraft):
            self.writePart(payload: payload, isThought: isDraft, breaks: breaks, into: &writer)
        case .end: self.writePart(text: "", into: &writer)
        case .whole(let text, let payload):
            self.writePart(text: text, into: &writer)
            if payload != nil { self.writePart(payload: payload, breaks: breaks, into: &writer) }
        }
        writer.json.endArray()
        writer.json.field("role", staticText: "model")
        writer.json.endObject()
        switch self.content {
        case .end(let reason): writer.json.field("finishReason", reason)
        case .whole: writer.json.field("finishReason", staticText: "STOP")
        default: break
        }
        writer.json.field("index", 0)
        writer.json.endObject()
        writer.json.endArray()
    }

    private func writePart(
        text: String? = nil, payload: ByteBuffer? = nil, isThought: Bool = false, breaks: Bool = false,
        into writer: inout PieceWriter
    ) {
        writer.json.beginObject()
        writer.json.field("text", text)
        if let payload {
            writer.json.key("inlineData")
            writer.json.beginObject()
            writer.json.field("mimeType", staticText: "image/png")
            writer.splice("data", payload, breaks: breaks)
            writer.json.endObject()
        }
        if isThought { writer.json.field("thought", true) }
        writer.json.endObject()
    }

    private func writeUsage(into json: inout JSONWriter) {
        let prompt = max(1, self.job.request.prompt.utf8.count / 4)
        var isEnd = false
        switch self.content {
        case .end, .whole: isEnd = true
        default: break
        }
        json.key("usageMetadata")
        json.beginObject()
        json.field("promptTokenCount", prompt)
        if isEnd { json.field("candidatesTokenCount", 1302) }
        json.field("totalTokenCount", isEnd ? prompt + 1432 : prompt)
        json.key("promptTokensDetails")
        json.beginArray()
        json.beginObject()
        json.field("modality", staticText: "TEXT")
        json.field("tokenCount", prompt)
        json.endObject()
        json.endArray()
        if isEnd { json.field("thoughtsTokenCount", 130) }
        json.endObject()
    }
}
