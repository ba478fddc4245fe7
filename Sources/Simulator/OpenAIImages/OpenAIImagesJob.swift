import NIOCore
import StreamCodecs

/// One accepted request: what it draws, and when it sends what.
struct OpenAIImagesJob: Sendable {
    let request: OpenAIImagesRequest
    let edit: Bool
    let script: SimulatorScript
    let cache: PictureCache
    /// Unix milliseconds.
    let start: Int64

    private var picture: Picture {
        var subject = self.request.inputHash
        subject.combine(self.request.prompt.utf8)
        return Picture(
            key: Picture.key(subject: subject.value, seed: self.script.seed ?? 0), width: self.request.width,
            height: self.request.height, transparent: self.request.background == "transparent")
    }

    private var previews: Int { min(self.request.partialImages, self.script.previews) }

    /// Unix milliseconds of the step: previews are spread evenly, the picture comes last.
    private func moment(_ step: Int) -> Int64 {
        self.start + self.script.duration.milliseconds * Int64(step + 1) / Int64(self.previews + 1)
    }

    private func draw(_ image: Int, _ development: Development) async throws -> PictureCache.Entry {
        try await self.cache.entry(self.picture.sibling(image), development, paddedTo: self.script.payload)
    }

    // MARK: - As a stream

    func write(to stream: inout ResponseStream) async throws {
        let shown = self.script.earlyFinal ? min(1, self.previews) : self.previews
        for step in 0..<shown {
            try await self.writePreviews(step, to: &stream)
            if step == 0, try await self.endsAfterFirstPreview(&stream) { return }
            if self.script.stall == .afterPreview(step) { try await stream.visit.stall() }
        }
        // Without previews these faults happen at half time.
        if shown == 0, self.faultsMidway {
            try await stream.visit.pause(until: self.start + self.script.duration.milliseconds / 2)
            if try await self.endsAfterFirstPreview(&stream) { return }
        }
        if case .afterPreview = self.script.stall { try await stream.visit.stall() }
        let end = self.script.earlyFinal ? self.moment(0) : self.start + self.script.duration.milliseconds
        try await stream.visit.pause(until: end)
        try await self.writeFinals(to: &stream)
    }

    private func writePreviews(_ step: Int, to stream: inout ResponseStream) async throws {
        // Drawn before its moment, so that the pace is the script's, not the machine's.
        var previews: [PictureCache.Entry] = []
        for image in 0..<self.request.n {
            previews.append(try await self.draw(image, .preview(step: step, count: self.previews)))
        }
        try await stream.visit.pause(until: self.moment(step))
        for preview in previews {
            let event = ImageEvent(job: self, kind: .partial(step), createdAt: stream.visit.now / 1000)
            try await stream.send(event.pieces(payload: preview.base64))
        }
    }

    private var faultsMidway: Bool {
        self.script.unknownEvent || self.script.refuse == .stream || self.script.fail != nil
    }

    /// - Returns: true when the stream is over.
    private func endsAfterFirstPreview(_ stream: inout ResponseStream) async throws -> Bool {
        if self.script.unknownEvent { try await stream.send([ImageEvent.unknown]) }
        if self.script.refuse == .stream {
            let refusal = OpenAIImagesEndpoint.refusal(self.script)
            try await stream.send([ImageEvent.failure(refusal, flat: false)], last: true)
            return true
        }
        guard let failure = self.script.fail else { return false }
        let error = SimulatorError(
            500, "The server had an error while processing your request.", type: "server_error", code: "server_error")
        try await stream.send([ImageEvent.failure(error, flat: failure == .flat)], last: true)
        return true
    }

    private func writeFinals(to stream: inout ResponseStream) async throws {
        for image in 0..<self.request.n {
            let isLast = image == self.request.n - 1
            if isLast, self.script.noTerminal { return }
            let entry = try await self.draw(image, .finished)
            if stream.visit.presence.isGone { throw ClientGone() }
            let event = ImageEvent(job: self, kind: .completed, createdAt: stream.visit.now / 1000)
            let malformed = isLast ? self.script.malformed : nil
            try await stream.send(event.pieces(payload: entry.base64, malformed: malformed), last: isLast)
        }
    }

    // MARK: - At once

    /// Lets the time of the work pass.
    /// - Throws: what a failing job answers.
    func wait(_ visit: Visit) async throws {
        let fails = self.script.fail != nil || self.script.refuse == .stream
        let milliseconds = self.script.duration.milliseconds
        try await visit.pause(until: self.start + (fails ? milliseconds / 2 : milliseconds))
        if self.script.refuse == .stream { throw OpenAIImagesEndpoint.refusal(self.script) }
        if case .afterPreview = self.script.stall { try await visit.stall() }
        guard fails else { return }
        var error = SimulatorError(
            500, "The server had an error while processing your request.", type: "server_error", code: "server_error")
        error.script = self.script
        throw error
    }

    /// The whole answer: small pieces of JSON around the payloads, which are not copied.
    func document() async throws -> [ByteBuffer] {
        var writer = JSONWriter()
        var pieces: [ByteBuffer] = []
        writer.beginObject()
        writer.field("created", self.start / 1000)
        writer.field("background", self.request.background)
        writer.key("data")
        writer.beginArray()
        let malformed = self.script.malformed
        for image in 0..<self.request.n where malformed != .event {
            let entry = try await self.draw(image, .finished)
            writer.beginObject()
            writer.key("b64_json")
            writer.beginSplicedString()
            pieces.append(writer.takeBuffer())
            pieces += malformed == .base64 ? MalformedContent.breakBase64(entry.base64) : [entry.base64]
            writer.endSplicedString()
            writer.endObject()
        }
        writer.endArray()
        writer.field("output_format", staticText: "png")
        writer.field("quality", self.request.quality)
        writer.field("size", self.request.size)
        self.writeUsage(images: self.request.n, whole: true, into: &writer)
        writer.endObject()
        pieces.append(writer.takeBuffer())
        switch malformed {
        case .json: return MalformedContent.cut(pieces)
        case .sse: return [MalformedContent.garbage]
        default: return pieces
        }
    }

    /// - Parameter whole: for the answer at once, which alone breaks the output down.
    func writeUsage(images: Int, whole: Bool, into writer: inout JSONWriter) {
        let text = max(1, self.request.prompt.utf8.count / 4)
        let input = text + 323 * self.request.inputImages
        let base =
            ["low": 272, "medium": 1056, "high": 4160, "xhigh": 8320, "max": 16640][self.request.quality] ?? 1056
        let drawn = max(1, base * self.request.width * self.request.height / (1024 * 1024))
        let output = images * (drawn + (whole ? 0 : 100 * self.previews))
        writer.key("usage")
        writer.beginObject()
        writer.field("input_tokens", input)
        writer.key("input_tokens_details")
        writer.beginObject()
        writer.field("image_tokens", input - text)
        writer.field("text_tokens", text)
        writer.endObject()
        writer.field("output_tokens", output)
        writer.field("total_tokens", input + output)
        if whole {
            writer.key("output_tokens_details")
            writer.beginObject()
            writer.field("image_tokens", output)
            writer.field("text_tokens", 0)
            writer.endObject()
        }
        writer.endObject()
    }
}
