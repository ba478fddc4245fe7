import ImageGeneration
import StreamCodecs

/// `{"title","detail","status"}`, with 422 for values that a model does not take.
enum ReplicateErrorBody {
    static func response(_ error: GatewayError) -> DialectResponse {
        let status = error.code == .invalidParameter ? 422 : error.code.status
        var json = JSONWriter()
        json.beginObject()
        if error.code == .invalidParameter {
            json.field("title", staticText: "Input validation failed")
            json.field("detail", "- \(error.message)\n")
        } else {
            json.field("title", error.code.statusTitle)
            json.field("detail", error.message)
        }
        json.field("status", status)
        json.field("code", error.code.rawValue)
        if let parameter = error.parameter {
            json.key("invalid_fields")
            json.beginArray()
            json.beginObject()
            json.field("type", error.code.rawValue)
            json.field("field", parameter)
            json.field("description", error.message)
            json.endObject()
            json.endArray()
        }
        json.endObject()
        return DialectResponse(
            status: status, headers: ErrorHeaders.make(error, contentType: "application/problem+json"),
            body: json.buffer)
    }
}
