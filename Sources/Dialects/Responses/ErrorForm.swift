import ImageGeneration

extension Cancellation {
    /// A cancelled job where a dialect has only a failure to say so.
    var asError: GatewayError {
        let message =
            switch self.reason {
            case .client: "The job was cancelled."
            case .disconnect: "The job was cancelled because its last reader left."
            case .operator: "The job was cancelled by the operator."
            }
        return GatewayError(.cancelled, message, billed: self.billed)
    }
}

extension JobSnapshot {
    /// `queued processing completed failed cancelled`: a coarse state for lists and filters.
    package var statusName: String { self.stage.statusName }
}

extension Stage {
    /// One of five words for clients that ask now and then.
    package var statusName: String {
        switch self {
        case .queued: "queued"
        case .processing, .generating, .uploading: "processing"
        case .completed: "completed"
        case .error: "failed"
        case .cancelled: "cancelled"
        }
    }
}

extension GatewayError.Code {
    /// The reason phrase of the status.
    var statusTitle: String {
        switch self.status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: "Internal Server Error"
        }
    }
}
