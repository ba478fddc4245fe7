package import ImageGeneration
package import StreamCodecs

/// A failure as one document for two audiences: the members of RFC 9457, and an `error` object with our own.
package enum UnifiedErrorDocument {
    package static let mediaType = "application/problem+json"

    package static func response(_ error: GatewayError, requestID: String) -> DialectResponse {
        var json = JSONWriter()
        self.write(error, job: nil, requestID: requestID, into: &json)
        return DialectResponse(
            status: error.code.status, headers: ErrorHeaders.make(error, contentType: self.mediaType),
            body: json.buffer)
    }

    package static func write(
        _ error: GatewayError, job: JobID?, requestID: String?, into json: inout JSONWriter
    ) {
        let problem = self.problem(error.code)
        json.beginObject()
        json.field("type", problem.type)
        json.field("title", problem.title)
        json.field("status", error.code.status)
        json.field("detail", error.message)
        json.field("job_id", job?.text)
        json.field("request_id", requestID)
        json.key("error")
        json.beginObject()
        UnifiedJSON.writeErrorMembers(error, into: &json)
        json.field("param", error.parameter)
        json.field("line", error.position?.line)
        json.field("column", error.position?.column)
        json.endObject()
        json.endObject()
    }

    /// Types from the IANA registry of HTTP problem types where one fits; `about:blank` asks for the status's own
    /// title.
    private static func problem(_ code: GatewayError.Code) -> (type: String, title: String) {
        switch code {
        case .rateLimited, .quotaExceeded:
            (
                "https://iana.org/assignments/http-problem-types#quota-exceeded",
                "Request cannot be satisfied as assigned quota has been exceeded"
            )
        case .overloaded, .draining, .storageUnavailable, .upstreamUnavailable:
            (
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
                "Request cannot be satisfied due to temporary server capacity constraints"
            )
        default: ("about:blank", code.statusTitle)
        }
    }
}
