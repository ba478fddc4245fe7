import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// A failure before the first byte, for frontends that look for `message` and for those that look for `error`:
/// `{"type":"error","message","error","code","parameter"?}`.
enum FrontendErrorBody {
    static func response(_ error: GatewayError, status: Int? = nil) -> DialectResponse {
        var json = JSONWriter(asciiOnly: true)
        self.write(error, into: &json)
        return DialectResponse(
            status: status ?? error.code.status, headers: ErrorHeaders.make(error, contentType: "application/json"),
            body: json.buffer)
    }

    /// The same in the place of an answer.
    static func fail(_ error: GatewayError, status: Int? = nil, into out: inout FrameOutput) -> DialectAnswerHead {
        let response = self.response(error, status: status)
        out.splice(response.body)
        return DialectAnswerHead(status: response.status, headers: response.headers, error: error)
    }

    private static func write(_ error: GatewayError, into json: inout JSONWriter) {
        json.beginObject()
        json.field("type", staticText: "error")
        json.field("message", error.message)
        json.field("error", error.message)
        json.field("code", error.code.rawValue)
        json.field("parameter", error.parameter)
        json.endObject()
    }
}
