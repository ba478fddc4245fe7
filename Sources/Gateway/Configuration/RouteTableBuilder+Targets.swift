import ImageGeneration
import Providers

extension RouteTableBuilder {
    /// The upstreams of a route in fallback order, or nil where they cannot be made out.
    mutating func targets(
        _ reader: RouteReader, operation: ImageRequest.Operation, upstreams: [ResolvedUpstream]
    ) -> [RouteTable.Target]? {
        guard let entries = reader[\.upstreams] else {
            if !reader.has(.upstreams) {
                let place = reader.place(.upstreams, nil)
                self.report("missing key \"upstreams\"; expected a list of names of upstreams", at: place)
            }
            return nil
        }
        var targets: [RouteTable.Target] = []
        var isWhole = true
        for entry in entries.value {
            guard let name = entry.value.upstream else { continue }
            let members = self.members(of: name, upstreams)
            isWhole = isWhole && members != nil
            for member in members ?? [] {
                if let capabilities = member.resolved.capabilities, !capabilities.operations.contains(operation) {
                    let shown = member.resolved.name
                    self.report("upstream \"\(shown)\" cannot \(operation.rawValue) images", at: name.place)
                }
                guard let upstream = member.resolved.upstream else {
                    isWhole = false
                    continue
                }
                targets.append(
                    RouteTable.Target(
                        upstream: upstream, model: entry.value.model?.value ?? upstream.model,
                        timeouts: RouteTable.Timeouts([
                            entry.value.timeouts?.value, reader.own.timeouts?.value, member.resolved.timeouts,
                            reader.defaults?.timeouts?.value,
                        ]), share: member.share))
            }
        }
        if !targets.isEmpty, isWhole, !targets.contains(where: \.upstream.isAvailable) {
            self.report("no upstream of this route is available: requests get 503", at: entries.place, .warning)
        }
        return targets
    }

    /// The upstream of this name, or those of the group; nil after a report.
    private mutating func members(
        of name: Located<String>, _ upstreams: [ResolvedUpstream]
    ) -> [(resolved: ResolvedUpstream, share: RouteTable.Share?)]? {
        if let resolved = upstreams.first(where: { $0.name == name.value }) { return [(resolved, nil)] }
        let groups = self.file.groups?.value ?? []
        guard let group = groups.first(where: { $0.name == name.value }) else {
            self.reportUnknown(
                groups.isEmpty ? "upstream" : "upstream or group", name,
                known: upstreams.map(\.name) + groups.map(\.name), later: [])
            return nil
        }
        return (group.value ?? []).compactMap { member in
            guard let upstream = member.value.upstream?.value,
                let resolved = upstreams.first(where: { $0.name == upstream })
            else { return nil }
            return (resolved, RouteTable.Share(group: group.name, weight: member.value.weight?.value ?? 1))
        }
    }

    /// Names in `groups`: of known upstreams, each once in a group, and no group called as an upstream.
    mutating func checkGroups(_ upstreams: [ResolvedUpstream]) {
        for group in self.file.groups?.value ?? [] {
            if upstreams.contains(where: { $0.name == group.name }) {
                let shown = ConfigurationText.quoted(group.name)
                self.report("group \(shown) has the name of an upstream; expected another", at: group.place)
            }
            var seen: Set<String> = []
            for member in group.value ?? [] {
                guard let name = member.value.upstream else { continue }
                if !upstreams.contains(where: { $0.name == name.value }) {
                    self.reportUnknown("upstream", name, known: upstreams.map(\.name), later: [])
                } else if !seen.insert(name.value).inserted {
                    self.report(
                        "upstream \(ConfigurationText.quoted(name.value)) is in the group twice", at: name.place)
                }
            }
        }
    }

    mutating func checkNames(_ routes: [(route: RouteTable.Route, reader: RouteReader)]) {
        var names: [String: ConfigurationPlace] = [:]
        for (route, reader) in routes {
            let place = reader.own.name?.place ?? reader.own.place
            guard let first = names.updateValue(place, forKey: route.name) else { continue }
            let origin = reader.own.name == nil ? " (by default; give it a \"name\")" : ""
            self.report(
                "route name \"\(route.name)\"\(origin) is taken by \(first.path), line \(first.line)", at: place)
            names[route.name] = first
        }
    }

    /// Routes that share a path are told apart only after decoding, so whatever is needed before must be the same.
    mutating func checkSharedPaths(_ routes: [(route: RouteTable.Route, reader: RouteReader)]) {
        var firsts: [RouteTable.Location: (route: RouteTable.Route, reader: RouteReader)] = [:]
        var takers: [RouteTable.Location: String] = [:]
        for (route, reader) in routes {
            if let first = firsts[route.location] {
                self.compare(route, reader, with: first.route)
            } else {
                firsts[route.location] = (route, reader)
            }
            if let taker = takers[route.location] {
                self.report(
                    "route \"\(route.name)\" is never reached: \"\(taker)\" before it takes every request",
                    at: reader.own.place, .warning)
            } else if route.match.models == nil {
                takers[route.location] = route.name
            }
        }
    }

    private mutating func compare(_ route: RouteTable.Route, _ reader: RouteReader, with first: RouteTable.Route) {
        let rules: [(RoutesFile.Route.Key, ConfigurationPlace?, String, String)] = [
            (.dialect, reader[\.dialect]?.place, route.dialect, first.dialect),
            (.operation, reader[\.operation]?.place, route.operation.rawValue, first.operation.rawValue),
            (.auth, reader[\.auth]?.place, route.auth.rawValue, first.auth.rawValue),
            (.mode, reader[\.mode]?.place, route.mode.rawValue, first.mode.rawValue),
        ]
        for (key, place, found, expected) in rules where found != expected {
            self.report(
                "routes of \"\(route.location.text)\" share \"\(key.rawValue)\"; expected \"\(expected)\" as in"
                    + " \"\(first.name)\", found \"\(found)\"", at: reader.place(key, place))
        }
    }
}

extension RouteTable.Timeouts {
    /// For each limit the first layer that has it, else the built-in one.
    init(_ layers: [RoutesFile.Timeouts?]) {
        func first(_ key: KeyPath<RoutesFile.Timeouts, Located<Duration>?>, else fallback: Duration) -> Duration {
            layers.lazy.compactMap { $0?[keyPath: key]?.value }.first ?? fallback
        }
        self.init(
            connect: first(\.connect, else: .seconds(5)), firstByte: first(\.firstByte, else: .seconds(120)),
            idle: first(\.idle, else: .seconds(90)), total: first(\.total, else: .seconds(600)),
            queue: first(\.queue, else: .seconds(1800)))
    }
}
