import HTTPTypes
import NIOCore
import StreamCodecs

/// Stability's API: a form in, a picture out, as its bytes or within JSON.
struct StabilityEndpoint: Sendable {
    let defaults: SimulatorScript
    let cache: PictureCache

    func respond(to request: SimulatorRequest, edit: Bool) async throws -> SimulatorResponse {
        do {
            return try await self.draw(request, edit: edit)
        } catch let error as SimulatorError {
            return .json(
                status: error.status, headers: error.headers, [Self.document(of: error)],
                script: error.script ?? self.defaults)
        }
    }

    private static func document(of error: SimulatorError) -> ByteBuffer {
        var json = JSONWriter()
        json.beginObject()
        json.field("id", OpenAIImagesEndpoint.requestID())
        json.field("name", error.code ?? "bad_request")
        json.key("errors")
        json.beginArray()
        json.value(error.message)
        json.endArray()
        json.endObject()
        return json.takeBuffer()
    }

    private func draw(_ request: SimulatorRequest, edit: Bool) async throws -> SimulatorResponse {
        if let credentials = request.headers[.authorization], credentials.lowercased().hasPrefix("bearer bad") {
            throw SimulatorError(401, "authorization: invalid or missing header value", code: "unauthorized")
        }
        let form = try StabilityForm(request, edit: edit)
        let (script, prompt) = try request.script(over: self.defaults, prompt: form.prompt)
        try StatusFault.check(script, openAI: false)
        if script.refuse == .head {
            var error = SimulatorError(
                403, "Your request was flagged by our content moderation system.", code: "content_moderation")
            error.script = script
            throw error
        }
        try await Self.wait(script, request.visit)
        var subject = form.hash
        subject.combine(prompt.utf8)
        let seed = script.seed ?? form.seed
        let picture = Picture(
            key: Picture.key(subject: subject.value, seed: seed), width: form.width, height: form.height)
        // What is refused late comes blurred, and with status 200.
        let isFiltered = script.refuse == .stream
        let entry = try await self.cache.entry(
            picture, isFiltered ? .preview(step: 0, count: 3) : .finished, paddedTo: script.payload)
        return Self.answer(
            entry, reason: isFiltered ? "CONTENT_FILTERED" : "SUCCESS", seed: seed,
            asJSON: (request.headers[.accept] ?? "").contains("json"), script: script)
    }

    private static func wait(_ script: SimulatorScript, _ visit: Visit) async throws {
        if case .afterPreview = script.stall { try await visit.stall() }
        try await visit.pause(for: script.fail == nil ? script.duration : script.duration / 2)
        guard script.fail != nil else { return }
        var error = SimulatorError(500, "An unexpected server error has occurred.", code: "internal_error")
        error.script = script
        throw error
    }

    private static func answer(
        _ entry: PictureCache.Entry, reason: String, seed: UInt64, asJSON: Bool, script: SimulatorScript
    ) -> SimulatorResponse {
        guard asJSON else {
            let headers: HTTPFields = [
                HTTPField.Name("finish-reason")!: reason, HTTPField.Name("seed")!: String(seed),
                .requestID: OpenAIImagesEndpoint.requestID(),
            ]
            let spoilt = script.malformed == .sse || script.malformed == .json || script.malformed == .base64
            return SimulatorResponse(
                type: "image/png", headers: headers, body: .whole([spoilt ? MalformedContent.garbage : entry.png]),
                script: script)
        }
        var writer = PieceWriter(ByteBuffer())
        writer.json.beginObject()
        if script.malformed != .event { writer.splice("image", entry.base64, breaks: script.malformed == .base64) }
        writer.json.field("finish_reason", reason)
        writer.json.field("seed", seed)
        writer.json.endObject()
        return .json(GeminiJob.spoilt(writer.finish(), script.malformed), script: script)
    }
}

/// The fields of a form that shape a picture.
struct StabilityForm {
    var prompt = ""
    var width = 1024
    var height = 1024
    var seed: UInt64 = 0
    var hash = FNV1a()
    private var hasImage = false

    init(_ request: SimulatorRequest, edit: Bool) throws(SimulatorError) {
        // The service takes nothing else, not even for text alone.
        guard let boundary = MultipartForm.boundary(contentType: request.headers[.contentType] ?? "") else {
            throw SimulatorError(400, "content-type: must be multipart/form-data", code: "bad_request")
        }
        let parts: [MultipartPart]
        do { parts = try MultipartForm.parts(request.body, boundary: boundary) } catch {
            throw SimulatorError(400, "body: malformed multipart", code: "bad_request")
        }
        for part in parts { try self.take(part.name, part.body) }
        guard !self.prompt.isEmpty else { throw SimulatorError(400, "prompt: cannot be blank", code: "bad_request") }
        guard !edit || self.hasImage else { throw SimulatorError(400, "image: is required", code: "bad_request") }
    }

    private mutating func take(_ name: String, _ body: ByteBuffer) throws(SimulatorError) {
        switch name {
        case "prompt": self.prompt = String(buffer: body)
        case "aspect_ratio":
            let ratio = String(buffer: body)
            guard ["1:1", "16:9", "9:16", "3:2", "2:3", "5:4", "4:5", "21:9", "9:21"].contains(ratio) else {
                throw SimulatorError(400, "aspect_ratio: is not one of the known ratios", code: "bad_request")
            }
            (self.width, self.height) = try StagesRequest.size(ratio: ratio, draft: false)
        case "seed":
            guard let seed = UInt64(String(buffer: body)) else {
                throw SimulatorError(400, "seed: must be a number", code: "bad_request")
            }
            self.seed = seed
        case "image":
            self.hasImage = true
            self.hash.combine(body.readableBytesView)
        case "negative_prompt", "mask": self.hash.combine(body.readableBytesView)
        case "output_format", "style_preset", "mode", "model", "strength", "cfg_scale": break
        default: throw SimulatorError(400, "\(name.prefix(60)): is not a known field", code: "bad_request")
        }
    }
}
