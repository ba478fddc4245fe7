/// `routes.json` as it stands: the same objects, keys and words, each value with its place. What the keys mean together
/// is decided in ``RouteTable``.
package struct RoutesFile: Sendable {
    /// What the gateway listens on and what a client may take of it.
    package let server: Located<Server>?
    /// The listener for operators.
    package let admin: Located<Admin>?
    /// Who is believed to be whom: issuers of signed tokens, and tickets.
    package let auth: Located<Auth>?
    /// Lists of limits by name, for routes and tokens to name.
    package let limits: Located<[NamedEntry<[Located<Limit>]>]>?
    /// What pictures weigh in limits of `cost`.
    package let costs: Located<Costs>?
    /// Where finished images go, and how much memory events may hold.
    package let storage: Located<Storage>?
    /// Whom to tell that jobs have ended, by name.
    package let webhooks: Located<[NamedEntry<Webhook>]>?
    /// Targets by name. Required; at least one.
    package let upstreams: Located<[NamedEntry<Upstream>]>?
    /// Upstreams that share work by weight, by the name that routes use.
    package let groups: Located<[NamedEntry<[Located<GroupMember>]>]>?
    /// What every route says unless it says otherwise itself: the keys of a route without `name`, `path` and `mount`.
    package let routeDefaults: Located<Route>?
    /// Client paths, first match first. Required; at least one.
    package let routes: Located<[Located<Route>]>?

    package enum Key: String, ConfigurationKey {
        /// For editors; not read.
        case schema = "$schema"
        case server, admin, auth, limits, costs, storage, webhooks, upstreams, groups
        case routeDefaults = "route_defaults"
        case routes
    }
}

extension RoutesFile: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        _ = reader.read(.schema, .text())
        self.server = reader.read(.server, .object(Server.self))
        self.admin = reader.read(.admin, .object(Admin.self))
        self.auth = reader.read(.auth, .object(Auth.self))
        self.limits = reader.read(.limits, .named(.list(of: .object(Limit.self), minimum: 1)))
        self.costs = reader.read(.costs, .object(Costs.self))
        self.storage = reader.read(.storage, .object(Storage.self))
        self.webhooks = reader.read(.webhooks, .named(.object(Webhook.self)))
        self.upstreams = reader.require(.upstreams, .named(.object(Upstream.self)))
        self.groups = reader.read(.groups, .named(.list(of: .object(GroupMember.self), minimum: 1)))
        let ownToRoutes: Set<Route.Key> = [.name, .path, .mount]
        self.routeDefaults = reader.read(.routeDefaults, .object(Route.self, refused: ownToRoutes))
        self.routes = reader.require(.routes, .list(of: .object(Route.self), minimum: 1))
    }
}
