import Admission
import Dialects
import ImageGeneration

extension RouteTableBuilder {
    mutating func routes(
        upstreams: [ResolvedUpstream], limits: [String: [LimitRule]]
    ) -> [RouteTable.Route] {
        var routes: [(route: RouteTable.Route, reader: RouteReader)] = []
        for given in self.file.routes?.value ?? [] {
            let reader = RouteReader(own: given.value, defaults: self.file.routeDefaults?.value)
            if let route = self.route(reader, upstreams: upstreams, limits: limits) { routes.append((route, reader)) }
        }
        self.checkNames(routes)
        self.checkSharedPaths(routes)
        return routes.map(\.route)
    }

    private mutating func route(
        _ reader: RouteReader, upstreams: [ResolvedUpstream], limits: [String: [LimitRule]]
    ) -> RouteTable.Route? {
        self.checkAuth(reader)
        let location = self.location(reader)
        let dialect = self.dialect(reader)
        let rules = self.limits(reader, policies: limits)
        let operation = reader[\.operation]?.value ?? .generate
        let targets = self.targets(reader, operation: operation, upstreams: upstreams)
        guard let dialect else { return nil }
        self.checkLocation(reader, dialect)
        let delivery = self.delivery(reader, dialect)
        self.checkHead(reader, dialect)
        let notify = self.notify(reader)
        self.checkIntent(reader, dialect)
        guard let location, let targets, let delivery else { return nil }
        let grace = dialect.traits.defaultDisconnectGraceMilliseconds
        return RouteTable.Route(
            name: reader.own.name?.value ?? "\(dialect.name):\(location.text)", location: location,
            dialect: dialect.name, traits: dialect.traits, endpoints: dialect.endpoints, operation: operation,
            mode: reader[\.mode]?.value ?? .auto,
            match: RouteTable.Match(models: reader[\.match?.value.model]?.value.map { ModelPattern($0.value) }),
            upstreams: targets, defaults: reader[\.defaults]?.value, force: reader[\.force]?.value,
            allow: RouteTable.Allowance(
                maximumCount: reader[\.allow?.value.maxN]?.value,
                sizes: reader[\.allow?.value.sizes]?.value.map(\.value),
                models: reader[\.allow?.value.models]?.value.map { ModelPattern($0.value) }),
            // Dialects that need single writes serve clients that cannot show a refusal either (design: same list).
            unsupported: reader[\.unsupported]?.value ?? (dialect.traits.isolatedWrites ? .nearest : .refuse),
            auth: reader[\.auth]?.value ?? .required,
            scopes: Set(reader[\.scopes]?.value.map(\.value) ?? []), limits: rules, delivery: delivery,
            commit: reader[\.commit]?.value ?? .seconds(2),
            onDisconnect: reader[\.onDisconnect]?.value ?? grace.map { .grace(.milliseconds($0)) } ?? .continue,
            inputURLs: reader[\.inputURLs]?.value ?? .refuse,
            intent: dialect.traits.converses ? reader[\.intent]?.value ?? .always : .always, notify: notify,
            heartbeat: RouteTable.Heartbeat(
                every: reader[\.heartbeat?.value.every]?.value ?? .seconds(15),
                style: reader[\.heartbeat?.value.style]?.value))
    }

    private mutating func location(_ reader: RouteReader) -> RouteTable.Location? {
        let (path, mount) = (reader.own.path, reader.own.mount)
        if reader.own.present.contains(.path), reader.own.present.contains(.mount) {
            self.report("expected \"path\" or \"mount\", found both", at: mount?.place ?? reader.own.place)
            return nil
        }
        guard reader.own.present.contains(.path) || reader.own.present.contains(.mount) else {
            self.report("missing key \"path\" or \"mount\"; expected one of them", at: reader.place(.path, nil))
            return nil
        }
        guard let given = path ?? mount else { return nil }
        if let reserved = Self.reservedPaths.first(where: { given.value == $0 || given.value.hasPrefix($0 + "/") }) {
            self.report("\"\(reserved)\" is served by the gateway itself; expected another path", at: given.place)
        }
        return path.map { .path($0.value) } ?? .mount(given.value)
    }

    /// Fixed calls of the gateway. `/v1/images/{id}` is not among them: it is asked by other methods than routes are.
    private static let reservedPaths = ["/v1/jobs", "/v1/models", "/v1/tickets", "/openapi.json", "/sdk"]

    private mutating func dialect(_ reader: RouteReader) -> ConfigurationCatalog.DialectEntry? {
        guard reader.has(.dialect) else {
            let expected = ConfigurationText.alternatives(self.catalog.dialects.map { "\"\($0.name)\"" })
            self.report("missing key \"dialect\"; expected \(expected)", at: reader.place(.dialect, nil))
            return nil
        }
        guard let name = reader[\.dialect] else { return nil }
        if let dialect = self.catalog.dialect(named: name.value) { return dialect }
        self.reportUnknown(
            "dialect", name, known: self.catalog.dialects.map(\.name), later: self.catalog.laterDialects)
        return nil
    }

    private mutating func checkLocation(_ reader: RouteReader, _ dialect: ConfigurationCatalog.DialectEntry) {
        if let path = reader.own.path, dialect.isMounted {
            self.report(
                "dialect \"\(dialect.name)\" has many paths; expected \"mount\" instead of \"path\"", at: path.place)
        } else if let mount = reader.own.mount, !dialect.isMounted {
            self.report(
                "dialect \"\(dialect.name)\" has one path; expected \"path\" instead of \"mount\"", at: mount.place)
        }
    }

    private mutating func delivery(_ reader: RouteReader, _ dialect: ConfigurationCatalog.DialectEntry) -> Delivery? {
        let given = reader[\.delivery]
        if given == nil, reader.has(.delivery) { return nil }
        // A dialect that prefers URLs and can do without gives the bytes where nothing is kept.
        let keepsImages = self.file.storage?.value.images != nil
        let canDoWithout = !keepsImages && dialect.traits.allowedDelivery.contains(.inline)
        let delivery = given?.value ?? (canDoWithout ? .inline : dialect.traits.defaultDelivery)
        let place = reader.place(.delivery, given?.place)
        if !dialect.traits.allowedDelivery.contains(delivery) {
            let allowed = Delivery.allCases.filter(dialect.traits.allowedDelivery.contains).map { "\"\($0.rawValue)\"" }
            let expected = ConfigurationText.alternatives(allowed)
            let message = "dialect \"\(dialect.name)\" delivers \(expected), found \"\(delivery.rawValue)\""
            self.report(message, at: place)
        } else if delivery.carriesURL, !keepsImages {
            let origin = given == nil ? ", the default of dialect \"\(dialect.name)\"," : ""
            self.report("delivery \"\(delivery.rawValue)\"\(origin) needs \"storage.images\"", at: place)
        }
        return delivery
    }

    private mutating func checkIntent(_ reader: RouteReader, _ dialect: ConfigurationCatalog.DialectEntry) {
        guard let intent = reader.own.intent, !dialect.traits.converses, intent.value != .always else { return }
        self.report(
            "requests of dialect \"\(dialect.name)\" are no conversations; \"intent\" has no effect", at: intent.place,
            .warning)
    }

    private mutating func checkHead(_ reader: RouteReader, _ dialect: ConfigurationCatalog.DialectEntry) {
        if let commit = reader.own.commit, dialect.traits.head == .now {
            self.report(
                "dialect \"\(dialect.name)\" answers at once; \"commit\" has no effect", at: commit.place, .warning)
        }
        guard let style = reader[\.heartbeat?.value.style] else { return }
        let isEventStream = dialect.traits.streamMediaType.hasPrefix("text/event-stream")
        if isEventStream != (style.value != .space) {
            let expected = isEventStream ? "\"comment\" or \"line\"" : "\"space\""
            self.report(
                "the clients of dialect \"\(dialect.name)\" expect \(expected), found \"\(style.value.rawValue)\"",
                at: style.place)
        }
    }
}

/// A route's own words, else those of `route_defaults`. `timeouts`, `heartbeat`, `match` and `allow` are filled key by
/// key.
struct RouteReader {
    let own: RoutesFile.Route
    let defaults: RoutesFile.Route?

    subscript<Value>(_ key: KeyPath<RoutesFile.Route, Located<Value>?>) -> Located<Value>? {
        self.own[keyPath: key] ?? self.defaults?[keyPath: key]
    }

    func has(_ key: RoutesFile.Route.Key) -> Bool {
        self.own.present.contains(key) || self.defaults?.present.contains(key) == true
    }

    /// `found`, or the key's place in a route that has it not.
    func place(_ key: RoutesFile.Route.Key, _ found: ConfigurationPlace?) -> ConfigurationPlace {
        let start = self.own.place
        let path = start.path + ConfigurationText.pathStep(key.rawValue)
        return found ?? ConfigurationPlace(path: path, line: start.line, column: start.column)
    }
}
