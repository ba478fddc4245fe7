import HTTPTypes
import NIOCore
import StreamCodecs

/// Google's Gemini API: content as a stream or at once, and Imagen's predictions.
struct GeminiEndpoint: Sendable {
    enum Method: String, Equatable, Sendable, CaseIterable {
        case stream = "streamGenerateContent"
        case whole = "generateContent"
        case predict
    }

    let defaults: SimulatorScript
    let cache: PictureCache

    static let overloaded = SimulatorError(
        503, "The model is overloaded. Please try again later.", code: "UNAVAILABLE")

    func respond(to request: SimulatorRequest, model: String, method: Method) async throws -> SimulatorResponse {
        do {
            return try await self.answer(request, model: model, method: method)
        } catch let error as SimulatorError {
            return .json(
                status: error.status, headers: error.headers, [Self.document(of: error)],
                script: error.script ?? self.defaults)
        }
    }

    private func answer(
        _ request: SimulatorRequest, model: String, method: Method
    ) async throws -> SimulatorResponse {
        if let key = request.headers[HTTPField.Name("x-goog-api-key")!], key.hasPrefix("bad") {
            throw SimulatorError(400, "API key not valid. Please pass a valid API key.", code: "INVALID_ARGUMENT")
        }
        var parameters =
            method == .predict
            ? try GeminiRequest(prediction: request.body) : try GeminiRequest(contents: request.body)
        let (script, prompt) = try request.script(over: self.defaults, prompt: parameters.prompt)
        parameters.prompt = prompt
        try StatusFault.check(script, openAI: false)
        let job = GeminiJob(
            request: parameters, model: model, script: script, cache: self.cache, start: request.visit.now)
        if script.refuse == .head {
            let blocked = method == .predict ? "{}" : Self.blocked
            let body = ByteBuffer(string: method == .stream ? "data: \(blocked)\r\n\r\n" : blocked)
            let type = method == .stream ? "text/event-stream" : "application/json; charset=UTF-8"
            return SimulatorResponse(type: type, body: .whole([body]), script: script)
        }
        switch method {
        case .stream:
            guard request.query.split(separator: "&").contains("alt=sse") else {
                throw GeminiRequest.invalid("Only alt=sse is simulated.")
            }
            return .events(script: script) { stream in try await job.write(to: &stream) }
        case .whole:
            try await job.wait(request.visit)
            return .json(try await job.document(), script: script)
        case .predict:
            try await job.wait(request.visit)
            return .json(try await job.predictions(), script: script)
        }
    }

    private static let blocked =
        "{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"},\"usageMetadata\":{\"promptTokenCount\":9,\"totalTokenCount\":9}}"

    /// Google's error form.
    static func document(of error: SimulatorError) -> ByteBuffer {
        let words = [401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"]
        let word = words[error.status] ?? (error.status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT")
        var json = JSONWriter()
        json.beginObject()
        json.key("error")
        json.beginObject()
        json.field("code", error.status)
        json.field("message", error.message)
        json.field("status", word)
        if let delay = error.headers[.retryAfter], error.status == 429 {
            json.key("details")
            json.beginArray()
            json.beginObject()
            json.field("@type", staticText: "type.googleapis.com/google.rpc.RetryInfo")
            json.field("retryDelay", "\(delay)s")
            json.endObject()
            json.endArray()
        }
        json.endObject()
        json.endObject()
        return json.takeBuffer()
    }
}
