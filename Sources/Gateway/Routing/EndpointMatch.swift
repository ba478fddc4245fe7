import Dialects
import HTTPTypes
import NIOCore

/// A configured path and method, found: which dialect's call it is, and the routes that share it.
struct EndpointMatch: Sendable {
    let dialect: any Dialect
    let endpoint: DialectEndpoint
    /// What stands for each `{name}` in the endpoint's subpath, as sent.
    let parameters: [String: String]
    let candidates: RouteCandidates

    var id: String? { self.parameters["id"] }
    var traits: DialectTraits { self.candidates.routes[0].traits }

    func call(_ scope: RequestScope, publicURL: String) -> DialectCall {
        DialectCall(
            endpoint: self.endpoint, parameters: self.parameters, query: scope.query, headers: scope.headers,
            base: publicURL + self.candidates.routes[0].location.text)
    }

    enum Lookup: Sendable {
        case found(EndpointMatch)
        /// The path is configured, the method is not; what may be used instead.
        case wrongMethod(dialect: any Dialect, allowed: [HTTPRequest.Method])
        case unknown
    }

    static func find(_ method: HTTPRequest.Method, path: String, in table: RouteTable) -> Lookup {
        guard let candidates = table.candidates(path: path), let route = candidates.routes.first,
            let dialect = DialectRegistry.dialect(named: route.dialect)
        else { return .unknown }
        var allowed: [HTTPRequest.Method] = []
        // The first template that fits has the path to itself: a wide one further down is not meant by it.
        var template: String?
        for endpoint in route.endpoints where template == nil || endpoint.subpath == template {
            guard let parameters = Self.match(candidates.subpath, template: endpoint.subpath) else { continue }
            template = endpoint.subpath
            if endpoint.method == method || (method == .head && endpoint.method == .get) {
                return .found(
                    EndpointMatch(
                        dialect: dialect, endpoint: endpoint, parameters: parameters, candidates: candidates))
            }
            for method in endpoint.method == .get ? [.get, .head] : [endpoint.method] where !allowed.contains(method) {
                allowed.append(method)
            }
        }
        return allowed.isEmpty ? .unknown : .wrongMethod(dialect: dialect, allowed: allowed)
    }

    /// - Returns: nil when the subpath is not the template's; else what stands for its names.
    static func match(_ subpath: String, template: String) -> [String: String]? {
        guard template.utf8.contains(0x7B) else { return subpath == template ? [:] : nil }
        var parts = subpath.split(separator: "/", omittingEmptySubsequences: false)[...]
        let patterns = template.split(separator: "/", omittingEmptySubsequences: false)
        var parameters: [String: String] = [:]
        for (index, pattern) in patterns.enumerated() {
            // `{name...}` takes what the others leave.
            let count = pattern.hasSuffix("...}") ? parts.count - (patterns.count - index - 1) : 1
            guard count >= 1, parts.count >= count else { return nil }
            let taken = parts.prefix(count)
            parts = parts.dropFirst(count)
            if pattern.hasPrefix("{") {
                guard !taken.contains(where: \.isEmpty) else { return nil }
                parameters[String(pattern.prefix { $0 != "." && $0 != "}" }.dropFirst())] = taken.joined(separator: "/")
            } else if taken.first != pattern {
                return nil
            }
        }
        return parts.isEmpty ? parameters : nil
    }

    /// How a create request is answered: as its endpoint always does, as it asks, as the route says.
    func mode(asked: ResponseMode?, headers: HTTPFields) -> ResponseMode {
        switch self.endpoint.action {
        case .createStreaming: return .stream
        case .submit: return .queue
        case .create, .snapshot, .answer, .stream, .list, .cancel, .describe: break
        }
        switch self.candidates.routes[0].mode {
        case .stream: return .stream
        case .wait: return .wait
        case .queue: return .queue
        case .auto: break
        }
        if asked == .stream { return .stream }
        if Preferences.respondAsync(headers) { return .queue }
        if let asked { return asked }
        if self.traits.streamsByDefault { return .stream }
        guard !self.traits.streamByBodyOnly, let accept = headers[.accept] else { return .wait }
        let media = self.traits.streamMediaType.prefix { $0 != ";" }
        return accept.lowercased().contains(media) ? .stream : .wait
    }

    /// What is written into silence: the route's style where it has one, else the dialect's.
    func heartbeat(_ style: HeartbeatStyle?) -> ByteBuffer { self.traits.heartbeat(style) }
}

extension DialectTraits {
    /// What is written into silence: `style` where there is one, else the dialect's own.
    func heartbeat(_ style: HeartbeatStyle?) -> ByteBuffer {
        switch style {
        case .comment: ByteBuffer(staticString: ": ka\n\n")
        case .line: ByteBuffer(staticString: ": ka\n")
        case .space: ByteBuffer(staticString: " ")
        case nil: ByteBuffer(staticString: self.heartbeat)
        }
    }
}

/// What `Prefer` asks for (RFC 7240).
enum Preferences {
    static func respondAsync(_ headers: HTTPFields) -> Bool {
        headers[values: .prefer].contains { line in
            line.split(separator: ",").contains { item in
                let token = item.prefix { $0 != ";" && $0 != "=" }
                return token.filter { $0 != " " && $0 != "\t" }.lowercased() == "respond-async"
            }
        }
    }
}
