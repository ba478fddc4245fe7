import ImageGeneration
import NIOCore
import StreamCodecs

/// `{"detail"}`, with 422 for bad values, as services of this family answer.
enum StagesErrorBody {
    static func response(_ error: GatewayError) -> DialectResponse {
        var json = JSONWriter(asciiOnly: true)
        self.write(error, into: &json)
        return DialectResponse(
            status: self.status(error), headers: ErrorHeaders.make(error, contentType: "application/json"),
            body: json.buffer)
    }

    static func write(_ error: GatewayError, into json: inout JSONWriter) {
        json.beginObject()
        json.field("detail", error.message)
        json.endObject()
    }

    static func status(_ error: GatewayError) -> Int {
        switch error.code {
        case .invalidJSON, .invalidParameter, .unsupportedParameter: 422
        default: error.code.status
        }
    }
}
