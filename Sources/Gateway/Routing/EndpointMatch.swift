import Dialects
import HTTPTypes
import NIOCore

/// A configured path and method, found: which dialect's call it is, and the routes that share it.
struct EndpointMatch: Sendable {
    let dialect: any Dialect
    let endpoint: DialectEndpoint
    /// What stands for `{id}` in the endpoint's subpath.
    let id: Substring?
    let candidates: RouteCandidates

    var traits: DialectTraits { self.candidates.routes[0].traits }

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
        for endpoint in route.endpoints {
            guard case .some(let id) = Self.match(candidates.subpath, template: endpoint.subpath) else { continue }
            if endpoint.method == method || (method == .head && endpoint.method == .get) {
                return .found(EndpointMatch(dialect: dialect, endpoint: endpoint, id: id, candidates: candidates))
            }
            for method in endpoint.method == .get ? [.get, .head] : [endpoint.method] where !allowed.contains(method) {
                allowed.append(method)
            }
        }
        return allowed.isEmpty ? .unknown : .wrongMethod(dialect: dialect, allowed: allowed)
    }

    /// - Returns: nil when the subpath is not the template's; else what stands for `{id}`, if the template has one.
    private static func match(_ subpath: String, template: String) -> Substring?? {
        guard template.utf8.contains(0x7B) else { return subpath == template ? .some(nil) : nil }
        let parts = subpath.split(separator: "/", omittingEmptySubsequences: false)
        let wanted = template.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == wanted.count else { return nil }
        var id: Substring?
        for (part, pattern) in zip(parts, wanted) {
            if pattern == "{id}", !part.isEmpty {
                id = part
            } else if part != pattern {
                return nil
            }
        }
        return .some(id)
    }

    /// How a create request is answered: as its endpoint always does, as it asks, as the route says.
    func mode(asked: ResponseMode?, headers: HTTPFields) -> ResponseMode {
        switch self.endpoint.action {
        case .createStreaming: return .stream
        case .submit: return .queue
        case .create, .snapshot, .list, .cancel: break
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
