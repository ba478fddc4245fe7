package import Admission
package import Dialects
package import ImageGeneration
package import StreamCodecs
package import Tokens

/// What `routes.json` means: checked, resolved, immutable. A reload makes a new table and swaps it whole; a job keeps
/// the route it began with.
package struct RouteTable: Sendable {
    package let server: Server
    package let admin: Admin
    package let auth: Auth
    package let storage: Storage
    /// In the order of the file, as are the two below; also those no route names.
    package let webhooks: [Webhook]
    package let upstreams: [Upstream]
    /// The rules of each name in `limits`.
    package let limits: [String: [LimitRule]]
    package let costs: CostTable
    /// In the order of the file.
    package let routes: [Route]
    private let paths: RoutePaths

    init(
        server: Server, admin: Admin, auth: Auth, storage: Storage, webhooks: [Webhook], upstreams: [Upstream],
        limits: [String: [LimitRule]], costs: CostTable, routes: [Route]
    ) {
        self.server = server
        self.admin = admin
        self.auth = auth
        self.storage = storage
        self.webhooks = webhooks
        self.upstreams = upstreams
        self.limits = limits
        self.costs = costs
        self.routes = routes
        self.paths = RoutePaths(routes)
    }

    /// Claims that limits go by.
    package var limitingClaims: Set<String> {
        Set(
            self.limits.values.joined().compactMap { rule in
                if case .claim(let name) = rule.scope { name } else { nil }
            })
    }

    /// The routes of a request path (as it stands before `?`, not decoded), first match first. Nil: 404.
    ///
    /// An exact path goes before a mount, a longer mount before a shorter one. All candidates share dialect, operation,
    /// mode and auth.
    package func candidates(path: some StringProtocol) -> RouteCandidates? { self.paths.candidates(String(path)) }

    package struct Server: Sendable {
        package let listen: ListenAddress
        /// Nil when the file has none; see ``publicURL(listening:)``.
        package let publicURL: String?
        /// Peers whose forwarding headers count.
        package let trustedProxies: [IPNetwork]
        /// Pages of other origins that may call.
        package let origins: Set<String>
        /// Nil: plain HTTP/1.1.
        package let tls: TLSIdentity?
        /// Bytes.
        package let maximumBodyBytes: Int
        /// Bytes of a request target.
        package let maximumURIBytes: Int
        package let maximumConnections: Int
        package let maximumConnectionsPerIP: Int
        package let writeStall: Duration
        package let drain: Duration
        package let playground: Bool

        /// Base of absolute URLs without trailing slash, given the address the server came to listen on.
        package func publicURL(listening address: ListenAddress) -> String {
            let reachable = ListenAddress(host: "127.0.0.1", port: address.port)
            let scheme = self.tls == nil ? "http" : "https"
            return self.publicURL ?? "\(scheme)://\(address.isWildcard ? reachable : address)"
        }
    }

    package struct Admin: Sendable {
        package let listen: ListenAddress
        /// Any of these opens the listener. Empty: on loopback nothing is asked for.
        package let tokens: [Secret]
    }

    package struct Auth: Sendable {
        package let issuers: [Issuer]
        package let ticketSecret: SigningSecret
        /// The longest a ticket is good for.
        package let ticketLifetime: Duration

        /// Whose signed tokens count.
        package struct Issuer: Hashable, Sendable {
            package let policy: TokenClaims.Policy
            package let keySetURL: String
            package let algorithms: Set<SignatureAlgorithm>
        }
    }

    package struct Storage: Sendable {
        /// Nil: jobs are known while the process lives.
        package let jobs: Jobs?
        /// Nil: finished images are not kept.
        package let images: Images?
        /// Bound on payload bytes in memory.
        package let memoryBytes: Int

        package struct Jobs: Sendable {
            /// Path of the SQLite database.
            package let database: String
            /// After a job's end.
            package let retention: Duration
            package let keepsPrompts: Bool
        }

        package struct Images: Sendable {
            /// Folder, made when absent.
            package let disk: String
            /// Below `disk`, without slashes at its ends.
            package let prefix: String
            package let urlLifetime: Duration
            package let secret: SigningSecret
        }
    }

    /// Keys by which the gateway recognises what it has signed.
    package enum SigningSecret: Sendable, Equatable {
        /// The first signs, all verify. At least one.
        case given([Secret])
        /// To be read from this file; made once, readable by its owner alone, where it is not there.
        case generated(file: String)
    }

    /// Who is told of jobs that have ended.
    package struct Webhook: Sendable {
        package let name: String
        package let url: String
        /// Each signs. Empty where none is set.
        package let secrets: [Secret]
        /// Why nothing can be sent now, safe to show to an operator. Nil: it can.
        package let unavailableReason: String?

        /// Without its query, which may hold what only the receiver should know.
        package var shownURL: String { String(self.url.prefix { $0 != "?" }) }
    }

    /// A configured target.
    package struct Upstream: Sendable {
        package let name: String
        package let provider: String
        package let preset: String?
        /// Of a `queue`: all of it, or what replaces members of the preset's.
        package let definition: JSONNode?
        package let base: UpstreamBase
        package let apiKey: Secret?
        /// Why it cannot be called now, safe to show to an operator: its key is not set. Nil: it can.
        package let unavailableReason: String?
        /// Sent instead of the client's model name.
        package let model: String?
        package let http: UpstreamHTTPVersion
        /// Nil: the environment's.
        package let proxy: String?
        package let maximumEventBytes: Int
        /// Hosts that result URLs may point at, besides the upstream's own.
        package let resultHosts: [HostPattern]
        /// Result URLs may be plain http and lead into private networks. True for the simulator.
        package let privateNetwork: Bool
        /// Sent with every call to the API.
        package let headers: [(name: String, value: String)]
        /// Appended to the URL of every call to the API.
        package let query: [(name: String, value: String)]
        package let background: Bool
        /// Its places, when it is left alone, what is asked again.
        let steadiness: UpstreamCondition.Settings

        package var isAvailable: Bool { self.unavailableReason == nil }
    }

    /// One route. Defaults are filled in; nothing is left to be asked of the file.
    ///
    /// A class, since it is large and every request passes it on several times.
    package final class Route: Sendable {
        package let name: String
        package let location: Location
        package let dialect: String
        package let traits: DialectTraits
        package let endpoints: [DialectEndpoint]
        package let operation: ImageRequest.Operation
        package let mode: RouteMode
        package let match: Match
        /// In fallback order; at least one.
        package let upstreams: [Target]
        package let defaults: RequestFields?
        package let force: RequestFields?
        package let allow: Allowance
        package let unsupported: UnsupportedPolicy
        package let auth: RouteAuth
        /// What a credential must allow, all of it.
        package let scopes: Set<String>
        /// In the order of the file; empty: none.
        package let limits: [LimitRule]
        package let delivery: Delivery
        package let commit: Duration
        package let onDisconnect: DisconnectPolicy
        package let inputURLs: InputURLs
        /// Name of the webhook that hears of a job's end.
        package let notify: String?
        package let intent: PictureIntent
        package let heartbeat: Heartbeat

        init(
            name: String, location: Location, dialect: String, traits: DialectTraits, endpoints: [DialectEndpoint],
            operation: ImageRequest.Operation, mode: RouteMode, match: Match, upstreams: [Target],
            defaults: RequestFields?, force: RequestFields?, allow: Allowance, unsupported: UnsupportedPolicy,
            auth: RouteAuth, scopes: Set<String>, limits: [LimitRule], delivery: Delivery, commit: Duration,
            onDisconnect: DisconnectPolicy,
            inputURLs: InputURLs, intent: PictureIntent, notify: String?, heartbeat: Heartbeat
        ) {
            self.name = name
            self.location = location
            self.dialect = dialect
            self.traits = traits
            self.endpoints = endpoints
            self.operation = operation
            self.mode = mode
            self.match = match
            self.upstreams = upstreams
            self.defaults = defaults
            self.force = force
            self.allow = allow
            self.unsupported = unsupported
            self.auth = auth
            self.scopes = scopes
            self.limits = limits
            self.delivery = delivery
            self.commit = commit
            self.onDisconnect = onDisconnect
            self.inputURLs = inputURLs
            self.notify = notify
            self.intent = intent
            self.heartbeat = heartbeat
        }
    }

    package enum Location: Hashable, Sendable {
        /// Exactly this path.
        case path(String)
        /// The endpoints below this path.
        case mount(String)

        package var text: String {
            switch self {
            case .path(let text), .mount(let text): text
            }
        }
    }

    package struct Match: Sendable {
        /// Nil: every request, also one without a model.
        package let models: [ModelPattern]?

        package func accepts(model: String?) -> Bool {
            guard let models = self.models else { return true }
            return model.map { name in models.contains { $0.matches(name) } } ?? false
        }
    }

    /// An upstream as a route uses it.
    package struct Target: Sendable {
        package let upstream: Upstream
        /// Sent instead of the client's model name; the route entry's, else the upstream's.
        package let model: String?
        package let timeouts: Timeouts
        /// Set for members of a group, which follow one another.
        package let share: Share?
    }

    /// A target's part in a group.
    package struct Share: Hashable, Sendable {
        package let group: String
        package let weight: Int
    }

    package struct Timeouts: Hashable, Sendable {
        /// Name, TCP and TLS.
        package let connect: Duration
        /// From the request's last byte to the response's head.
        package let firstByte: Duration
        /// Silence inside a response.
        package let idle: Duration
        /// From the upstream's acceptance to the end.
        package let total: Duration
        /// Waiting rooms, ours and theirs.
        package let queue: Duration
    }

    package struct Allowance: Sendable {
        /// Nil: as many as the upstream makes.
        package let maximumCount: Int?
        /// Nil: every size.
        package let sizes: [String]?
        /// Nil: every model.
        package let models: [ModelPattern]?
    }

    package struct Heartbeat: Sendable {
        package let every: Duration
        /// Nil: as the dialect does it.
        package let style: HeartbeatStyle?
    }
}

/// The routes that share a request's path.
package struct RouteCandidates: Sendable {
    /// First match first; at least one.
    package let routes: [RouteTable.Route]
    /// Below the mount, without leading slash; empty for an exact path.
    package let subpath: String
    /// Limits of requests that hold whichever of the routes it is: what can be told before the body is read.
    package var commonLimits: [LimitRule] = []

    /// The first route that takes a request for `model` (nil: it names none).
    package func match(model: String?) -> RouteTable.Route? {
        self.routes.first { $0.match.accepts(model: model) }
    }
}
