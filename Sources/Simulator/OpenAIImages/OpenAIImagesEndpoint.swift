import HTTPTypes
import NIOCore
import StreamCodecs

/// The Images API: generations and edits, at once or as a stream.
struct OpenAIImagesEndpoint: Sendable {
    let defaults: SimulatorScript
    let cache: PictureCache

    func respond(to request: SimulatorRequest, edit: Bool) async throws -> SimulatorResponse {
        if let credentials = request.headers[.authorization], credentials.lowercased().hasPrefix("bearer bad") {
            throw SimulatorError(401, "Incorrect API key provided.", code: "invalid_api_key")
        }
        var parameters = try OpenAIImagesRequest(
            edit: edit, contentType: request.headers[.contentType], body: request.body)
        let (script, prompt) = try request.script(over: self.defaults, prompt: parameters.prompt)
        parameters.prompt = prompt
        try StatusFault.check(script, openAI: true)
        if script.refuse == .head { throw Self.refusal(script) }
        let job = OpenAIImagesJob(
            request: parameters, edit: edit, script: script, cache: self.cache, start: request.visit.now)
        let headers: HTTPFields = [.requestID: Self.requestID()]
        if parameters.stream {
            return .events(headers: headers, script: script) { stream in try await job.write(to: &stream) }
        }
        try await job.wait(request.visit)
        return .json(headers: headers, try await job.document(), script: script)
    }

    static func refusal(_ script: SimulatorScript) -> SimulatorError {
        var error = SimulatorError(
            400, "Your request was rejected by the safety system.", type: "image_generation_user_error",
            code: "moderation_blocked")
        error.script = script
        return error
    }

    static func requestID() -> String {
        let digits = (0..<2).map { _ in
            let text = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }
        return "req_" + digits.joined()
    }
}

/// The `status` key: an answer that has nothing to do with the request.
enum StatusFault {
    static func check(_ script: SimulatorScript, openAI: Bool) throws(SimulatorError) {
        guard let status = script.status else { return }
        var error: SimulatorError
        switch status {
        case 401: error = SimulatorError(status, "Incorrect API key provided.", code: "invalid_api_key")
        case 429:
            error = SimulatorError(
                status, "Rate limit reached for images per minute.", type: "rate_limit_error",
                code: "rate_limit_exceeded")
        case 500...:
            error = SimulatorError(
                status, "The server had an error while processing your request.", type: "server_error",
                code: "server_error")
        default: error = SimulatorError(status, "The simulator was asked for status \(status).")
        }
        error.script = script
        self.addRetryHeaders(to: &error, script: script, openAI: openAI)
        throw error
    }

    private static func addRetryHeaders(to error: inout SimulatorError, script: SimulatorScript, openAI: Bool) {
        let usual: Duration? = error.status == 429 || error.status == 503 ? .seconds(1) : nil
        guard let delay = script.retryAfter ?? usual else { return }
        let milliseconds = delay.milliseconds
        error.headers[.retryAfter] = String((milliseconds + 999) / 1000)
        guard openAI else { return }
        error.headers[HTTPField.Name("retry-after-ms")!] = String(milliseconds)
        guard error.status == 429 else { return }
        error.headers[HTTPField.Name("x-ratelimit-limit-requests")!] = "20"
        error.headers[HTTPField.Name("x-ratelimit-remaining-requests")!] = "0"
        error.headers[HTTPField.Name("x-ratelimit-reset-requests")!] = "\(milliseconds)ms"
    }
}
