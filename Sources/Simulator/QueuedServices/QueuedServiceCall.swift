import HTTPTypes

/// A call of one of the queued services, each below a first path segment of its own: `/fal`, `/replicate`, `/bfl`.
enum QueuedServiceCall: Equatable {
    case fal(FalCall)
    case replicate(ReplicateCall)
    case bfl(BFLCall)

    /// `app` is the path in front of `requests`: owner, name, and whatever else.
    enum FalCall: Equatable {
        case submit(app: String)
        case status(app: String, id: String)
        case statusStream(app: String, id: String)
        case result(app: String, id: String)
        case cancel(app: String, id: String)
    }

    enum ReplicateCall: Equatable {
        case submit(model: String?)
        case prediction(String)
        case stream(String)
        case cancel(String)
    }

    enum BFLCall: Equatable {
        case submit(model: String)
        case result
    }

    typealias Candidate = (method: HTTPRequest.Method, call: QueuedServiceCall, prefix: String)

    /// - Parameter segments: of the path, the first of them empty.
    static func candidates(_ segments: [String]) -> [Candidate] {
        let rest = Array(segments.dropFirst(2))
        guard segments.count > 2, segments[0].isEmpty, !rest.contains("") else { return [] }
        switch segments[1] {
        case "fal": return self.fal(rest).map { ($0, .fal($1), "/fal") }
        case "replicate": return self.replicate(rest).map { ($0, .replicate($1), "/replicate/v1") }
        case "bfl": return self.bfl(rest).map { ($0, .bfl($1), "/bfl/v1") }
        default: return []
        }
    }

    private static func fal(_ rest: [String]) -> [(HTTPRequest.Method, FalCall)] {
        guard let place = rest.firstIndex(of: "requests"), place > 0, place + 1 < rest.count else {
            return [(.post, .submit(app: rest.joined(separator: "/")))]
        }
        let app = rest[..<place].joined(separator: "/")
        let id = rest[place + 1]
        switch Array(rest[(place + 2)...]) {
        case []: return [(.get, .result(app: app, id: id))]
        case ["status"]: return [(.get, .status(app: app, id: id))]
        case ["status", "stream"]: return [(.get, .statusStream(app: app, id: id))]
        case ["cancel"]: return [(.put, .cancel(app: app, id: id))]
        default: return []
        }
    }

    private static func replicate(_ rest: [String]) -> [(HTTPRequest.Method, ReplicateCall)] {
        guard rest.first == "v1" else { return [] }
        let rest = Array(rest.dropFirst())
        switch (rest.count, rest.first, rest.last) {
        case (1, "predictions", _): return [(.post, .submit(model: nil))]
        case (4, "models", "predictions"), (4, "deployments", "predictions"):
            return [(.post, .submit(model: "\(rest[1])/\(rest[2])"))]
        case (2, "predictions", let id?): return [(.get, .prediction(id))]
        case (3, "predictions", "cancel"): return [(.post, .cancel(rest[1]))]
        case (3, "predictions", "stream"): return [(.get, .stream(rest[1]))]
        default: return []
        }
    }

    private static func bfl(_ rest: [String]) -> [(HTTPRequest.Method, BFLCall)] {
        guard rest.first == "v1", rest.count == 2 else { return [] }
        return rest[1] == "get_result" ? [(.get, .result)] : [(.post, .submit(model: rest[1]))]
    }
}
