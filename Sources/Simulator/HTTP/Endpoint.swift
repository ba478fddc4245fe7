import HTTPTypes

/// What a path asks for. Endpoints are known by the end of their path, so any prefix will do.
enum Endpoint: Equatable {
    case index
    case health
    case generations
    case edits
    case submit
    case submitStream
    case job(String)
    case jobEvents(String)
    case cancelJob(String)
    case image(String)
    case responses
    case response(String)
    case cancelResponse(String)
    case gemini(model: String, GeminiEndpoint.Method)
    case webUI(WebUIEndpoint.Call)
    case stability(edit: Bool)
    /// Below a first path segment that names the service.
    case queuedService(QueuedServiceCall)

    enum Match: Equatable {
        /// `prefix`: the path in front of the endpoint, without a slash at its end.
        case found(Endpoint, prefix: String)
        case methodNotAllowed(allow: String)
        case notFound
    }

    /// Its errors have OpenAI's form.
    static func speaksOpenAI(path: String) -> Bool {
        path.hasSuffix("/images/generations") || path.hasSuffix("/images/edits") || path.hasPrefix("/v1/")
            || path.hasSuffix("/responses") || path.contains("/responses/")
    }

    static func match(method: HTTPRequest.Method, path: String) -> Match {
        let candidates = self.candidates(path: path)
        let wanted = method == .head ? .get : method
        if let found = candidates.first(where: { $0.method == wanted }) {
            return .found(found.endpoint, prefix: found.prefix)
        }
        guard !candidates.isEmpty else { return .notFound }
        return .methodNotAllowed(allow: candidates.map(\.method.rawValue).joined(separator: ", "))
    }

    private typealias Candidate = (method: HTTPRequest.Method, endpoint: Endpoint, prefix: String)

    private static func candidates(path: String) -> [Candidate] {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        func prefix(_ dropped: Int) -> String { segments.dropLast(dropped).joined(separator: "/") }
        let tail = Array(segments.suffix(3))
        let isImage = tail.dropLast().last == "images" && tail.last?.hasSuffix(".png") ?? false
        let queued = QueuedServiceCall.candidates(segments)
        if !queued.isEmpty, !isImage { return queued.map { ($0.method, .queuedService($0.call), $0.prefix) } }
        switch (tail.count, tail.dropLast().last, tail.last) {
        case (2, "", ""): return [(.get, .index, "")]
        case (2, "", "healthz"): return [(.get, .health, "")]
        case (_, "images", "generations"): return [(.post, .generations, prefix(2))]
        case (_, "images", "edits"): return [(.post, .edits, prefix(2))]
        case (_, _, "generate"): return [(.post, .submit, prefix(1))]
        case (_, "generate", "stream"): return [(.post, .submitStream, prefix(2))]
        case (_, "jobs", let id?) where !id.isEmpty:
            return [(.get, .job(id), prefix(2)), (.delete, .cancelJob(id), prefix(2))]
        case (3, let id?, "events") where tail[0] == "jobs": return [(.get, .jobEvents(id), prefix(3))]
        case (3, let id?, "cancel") where tail[0] == "jobs": return [(.post, .cancelJob(id), prefix(3))]
        case (_, "images", let file?) where file.hasSuffix(".png"):
            return [(.get, .image(String(file.dropLast(4))), prefix(2))]
        default: return self.otherCandidates(segments)
        }
    }

    /// APIs whose paths are their own.
    private static func otherCandidates(_ segments: [String]) -> [Candidate] {
        func prefix(_ dropped: Int) -> String { segments.dropLast(dropped).joined(separator: "/") }
        let tail = Array(segments.suffix(3))
        guard tail.count == 3 else { return [] }
        switch (tail[0], tail[1], tail[2]) {
        case (_, _, "responses"): return [(.post, .responses, prefix(1))]
        case (_, "responses", let id) where !id.isEmpty: return [(.get, .response(id), prefix(2))]
        case ("responses", let id, "cancel") where !id.isEmpty: return [(.post, .cancelResponse(id), prefix(3))]
        case (_, "models", let call): return self.geminiCandidates(call, prefix: prefix(2))
        case ("sdapi", "v1", _), (_, "internal", _): return self.webUICandidates(tail, prefix(3))
        case ("stable-image", "generate", _): return [(.post, .stability(edit: false), prefix(3))]
        case ("stable-image", "edit", _): return [(.post, .stability(edit: true), prefix(3))]
        default: return []
        }
    }

    /// `{model}:{method}`, the colon perhaps percent-encoded.
    private static func geminiCandidates(_ call: String, prefix: String) -> [Candidate] {
        let parts = PercentEncoding.decode(call).split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2, let method = GeminiEndpoint.Method(rawValue: parts[1]) else { return [] }
        return [(.post, .gemini(model: parts[0], method), prefix)]
    }

    private static func webUICandidates(_ tail: [String], _ prefix: String) -> [Candidate] {
        switch (tail[1], tail[2]) {
        case ("v1", "txt2img"): [(.post, .webUI(.txt2img), prefix)]
        case ("v1", "img2img"): [(.post, .webUI(.img2img), prefix)]
        case ("v1", "progress"): [(.get, .webUI(.progress), prefix)]
        case ("v1", "interrupt"): [(.post, .webUI(.interrupt), prefix)]
        case ("internal", "progress"): [(.post, .webUI(.taskProgress), prefix)]
        default: []
        }
    }
}
