/// Finds the routes of a path: exact ones by hashing, mounts by a short list. Asked for each request.
struct RoutePaths: Sendable {
    private var exact: [String: [RouteTable.Route]] = [:]
    /// Longest first; each mount once.
    private var mounts: [(prefix: String, routes: [RouteTable.Route])] = []

    init(_ routes: [RouteTable.Route]) {
        for route in routes {
            switch route.location {
            case .path(let path):
                self.exact[path, default: []].append(route)
            case .mount(let prefix):
                if let index = self.mounts.firstIndex(where: { $0.prefix == prefix }) {
                    self.mounts[index].routes.append(route)
                } else {
                    self.mounts.append((prefix, [route]))
                }
            }
        }
        self.mounts.sort { $0.prefix.utf8.count > $1.prefix.utf8.count }
    }

    func candidates(_ path: String) -> RouteCandidates? {
        if let routes = self.exact[path] { return RouteCandidates(routes: routes, subpath: "") }
        for (prefix, routes) in self.mounts where path.utf8.starts(with: prefix.utf8) {
            let rest = path.utf8.dropFirst(prefix.utf8.count)
            guard let first = rest.first else { return RouteCandidates(routes: routes, subpath: "") }
            guard first == 0x2F else { continue }
            return RouteCandidates(routes: routes, subpath: String(Substring(rest.dropFirst())))
        }
        return nil
    }
}
