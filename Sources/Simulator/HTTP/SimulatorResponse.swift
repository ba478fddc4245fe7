import HTTPTypes
import NIOCore
import StreamCodecs

/// What an endpoint answers.
struct SimulatorResponse: Sendable {
    enum Body: Sendable {
        /// All of it, in pieces; sent with its length.
        case whole([ByteBuffer])
        /// Written while it comes about.
        case stream(@Sendable (inout ResponseStream) async throws -> Void)
    }

    var status: Int
    var headers: HTTPFields
    var body: Body
    /// Decides how the answer is delivered.
    var script: SimulatorScript

    init(status: Int = 200, type: String, headers: HTTPFields = [:], body: Body, script: SimulatorScript) {
        self.status = status
        self.headers = headers
        self.headers[.contentType] = type
        self.body = body
        self.script = script
    }

    static func json(
        status: Int = 200, headers: HTTPFields = [:], _ pieces: [ByteBuffer], script: SimulatorScript
    ) -> SimulatorResponse {
        SimulatorResponse(
            status: status, type: "application/json", headers: headers, body: .whole(pieces), script: script)
    }

    static func events(
        headers: HTTPFields = [:], script: SimulatorScript,
        _ write: @escaping @Sendable (inout ResponseStream) async throws -> Void
    ) -> SimulatorResponse {
        var headers = headers
        headers[.cacheControl] = "no-cache"
        return SimulatorResponse(
            type: "text/event-stream; charset=utf-8", headers: headers, body: .stream(write), script: script)
    }
}

/// A refusal, rendered in the form of the API that was called.
struct SimulatorError: Error {
    var status: Int
    var message: String
    var type = "invalid_request_error"
    var code: String?
    var parameter: String?
    var headers: HTTPFields = [:]
    /// The script that was in force; nil: the defaults.
    var script: SimulatorScript?
    /// In place of the usual document.
    var document: ByteBuffer?

    init(
        _ status: Int, _ message: String, type: String = "invalid_request_error", code: String? = nil,
        parameter: String? = nil, headers: HTTPFields = [:]
    ) {
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.parameter = parameter
        self.headers = headers
    }

    func response(openAI: Bool, defaults: SimulatorScript) -> SimulatorResponse {
        var writer = JSONWriter()
        writer.beginObject()
        if openAI {
            writer.key("error")
            self.writeOpenAIError(into: &writer)
        } else {
            writer.field("detail", self.message)
            writer.field("code", self.code)
        }
        writer.endObject()
        var headers = self.headers
        if openAI { headers[.requestID] = OpenAIImagesEndpoint.requestID() }
        return .json(
            status: self.status, headers: headers, [self.document ?? writer.takeBuffer()],
            script: self.script ?? defaults)
    }

    func writeOpenAIError(into writer: inout JSONWriter) {
        writer.beginObject()
        writer.field("message", self.message)
        writer.field("type", self.type)
        writer.key("param")
        if let parameter { writer.value(parameter) } else { writer.null() }
        writer.key("code")
        if let code { writer.value(code) } else { writer.null() }
        writer.endObject()
    }
}
