import Admission

/// Finds the routes of a path: exact ones by hashing, mounts by a short list. Asked for each request.
struct RoutePaths: Sendable {
    private var exact: [String: Group] = [:]
    /// Longest first; each mount once.
    private var mounts: [(prefix: String, group: Group)] = []

    /// The routes of one path or mount.
    private struct Group {
        var routes: [RouteTable.Route]
        var commonLimits: [LimitRule] = []

        func candidates(_ subpath: String) -> RouteCandidates {
            RouteCandidates(routes: self.routes, subpath: subpath, commonLimits: self.commonLimits)
        }

        mutating func settle() {
            self.commonLimits = self.routes[0].limits.filter { rule in
                rule.measure == .requests && (rule.scope != .route || self.routes.count == 1)
                    && self.routes.allSatisfy { $0.limits.contains { $0 === rule } }
            }
        }
    }

    init(_ routes: [RouteTable.Route]) {
        for route in routes {
            switch route.location {
            case .path(let path):
                self.exact[path, default: Group(routes: [])].routes.append(route)
            case .mount(let prefix):
                if let index = self.mounts.firstIndex(where: { $0.prefix == prefix }) {
                    self.mounts[index].group.routes.append(route)
                } else {
                    self.mounts.append((prefix, Group(routes: [route])))
                }
            }
        }
        for path in self.exact.keys { self.exact[path]?.settle() }
        for index in self.mounts.indices { self.mounts[index].group.settle() }
        self.mounts.sort { $0.prefix.utf8.count > $1.prefix.utf8.count }
    }

    func candidates(_ path: String) -> RouteCandidates? {
        if let group = self.exact[path] { return group.candidates("") }
        for (prefix, group) in self.mounts where path.utf8.starts(with: prefix.utf8) {
            let rest = path.utf8.dropFirst(prefix.utf8.count)
            guard let first = rest.first else { return group.candidates("") }
            guard first == 0x2F else { continue }
            return group.candidates(String(Substring(rest.dropFirst())))
        }
        return nil
    }
}
