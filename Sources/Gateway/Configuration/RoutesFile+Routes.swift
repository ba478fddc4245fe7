package import Dialects
package import ImageGeneration
import StreamCodecs

extension RoutesFile {
    /// An entry of `routes`, or `route_defaults`.
    package struct Route: Sendable {
        /// Unique; in logs and metrics. Default `<dialect>:<path>`.
        package let name: Located<String>?
        /// The one path of the route. Either this or `mount`.
        package let path: Located<String>?
        /// The root of all paths of a many-path dialect.
        package let mount: Located<String>?
        /// Client API family. Required.
        package let dialect: Located<String>?
        /// Default `generate`.
        package let operation: Located<ImageRequest.Operation>?
        /// How a create request is answered that does not say itself. Default `auto`.
        package let mode: Located<RouteMode>?
        /// Which requests the route takes. Default: all.
        package let match: Located<Match>?
        /// In fallback order. Required; at least one.
        package let upstreams: Located<[Located<UpstreamEntry>]>?
        /// Fields that a request has not.
        package let defaults: Located<RequestFields>?
        /// Fields that replace what a request says.
        package let force: Located<RequestFields>?
        /// What a request may ask.
        package let allow: Located<Allowance>?
        /// What happens to wishes the upstream cannot fulfil. Default `refuse`; `nearest` where the dialect says so.
        package let unsupported: Located<UnsupportedPolicy>?
        /// Who may call. Default `required`.
        package let auth: Located<RouteAuth>?
        /// What a credential must allow, all of it.
        package let scopes: Located<[Located<String>]>?
        /// Names of `limits` that apply.
        package let limits: Located<[Located<String>]>?
        /// Says that a public route without limits is meant. Default false.
        package let publicWithoutLimits: Located<Bool>?
        /// What events carry. Default: the dialect's.
        package let delivery: Located<Delivery>?
        /// For how long a response head waits for the upstream's own. Default 2 s, 0 s…5 m.
        package let commit: Located<Duration>?
        /// What becomes of a job nobody watches. Default: the dialect's.
        package let onDisconnect: Located<DisconnectPolicy>?
        /// Pictures given by URL. Default `refuse`.
        package let inputURLs: Located<InputURLs>?
        /// The webhook that hears of a job's end. Default: none does.
        package let notify: Located<String>?
        /// Who decides whether a message wants a picture, in dialects that converse. Default `always`.
        package let intent: Located<PictureIntent>?
        /// For calls to upstreams.
        package let timeouts: Located<Timeouts>?
        /// What is written into a silent stream.
        package let heartbeat: Located<Heartbeat>?
        /// The keys that are there.
        package let present: Set<Key>
        /// Where the route begins.
        package let place: ConfigurationPlace

        package enum Key: String, ConfigurationKey {
            case name, path, mount, dialect, operation, mode, match, upstreams, defaults, force, allow, unsupported,
                auth
            case scopes, limits
            case publicWithoutLimits = "public_without_limits"
            case delivery, commit
            case onDisconnect = "on_disconnect"
            case inputURLs = "input_urls"
            case intent, notify, timeouts, heartbeat
        }
    }

    /// `match`
    package struct Match: Sendable {
        /// Model names; `*` stands for any run of characters. A request without a model matches only routes without
        /// this.
        package let model: Located<[Located<String>]>?

        package enum Key: String, ConfigurationKey { case model }
    }

    /// An entry of a route's `upstreams`: a name, or an object.
    package struct UpstreamEntry: Sendable {
        /// Name of an upstream. Required.
        package let upstream: Located<String>?
        /// Sent to this upstream instead of the client's model name.
        package let model: Located<String>?
        /// For calls to this upstream on this route.
        package let timeouts: Located<Timeouts>?

        package enum Key: String, ConfigurationKey { case upstream, model, timeouts }
    }

    /// `allow`
    package struct Allowance: Sendable {
        /// Pictures a request may ask for, 1…100.
        package let maxN: Located<Int>?
        /// Sizes a request may name.
        package let sizes: Located<[Located<String>]>?
        /// Models a request may name; `*` as in `match.model`.
        package let models: Located<[Located<String>]>?

        package enum Key: String, ConfigurationKey {
            case maxN = "max_n"
            case sizes, models
        }
    }

    /// `heartbeat`
    package struct Heartbeat: Sendable {
        /// Silence after which one is written. Default 15 s, 100 ms…10 m.
        package let every: Located<Duration>?
        /// Default: the dialect's.
        package let style: Located<HeartbeatStyle>?

        package enum Key: String, ConfigurationKey { case every, style }
    }
}

extension RoutesFile.Route: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.name = reader.read(.name, .routeName)
        self.path = reader.read(.path, .urlPath)
        self.mount = reader.read(.mount, .urlPath)
        self.dialect = reader.read(.dialect, .word)
        self.operation = reader.read(.operation, .choice(ImageRequest.Operation.self))
        self.mode = reader.read(.mode, .choice(RouteMode.self))
        self.match = reader.read(.match, .object(RoutesFile.Match.self))
        self.upstreams = reader.read(.upstreams, .list(of: .upstreamEntry, minimum: 1))
        self.defaults = reader.read(.defaults, .object(RequestFields.self))
        self.force = reader.read(.force, .object(RequestFields.self))
        self.allow = reader.read(.allow, .object(RoutesFile.Allowance.self))
        self.unsupported = reader.read(.unsupported, .choice(UnsupportedPolicy.self))
        self.auth = reader.read(.auth, .choice(RouteAuth.self))
        self.scopes = reader.read(.scopes, .list(of: .scope, minimum: 1))
        self.limits = reader.read(.limits, .list(of: .word, minimum: 1))
        self.publicWithoutLimits = reader.read(.publicWithoutLimits, .boolean)
        self.delivery = reader.read(.delivery, .choice(Delivery.self))
        self.commit = reader.read(.commit, .duration(in: .zero ... .seconds(300)))
        self.onDisconnect = reader.read(.onDisconnect, .disconnectPolicy)
        self.inputURLs = reader.read(.inputURLs, .choice(InputURLs.self, later: ["forward"]))
        self.notify = reader.read(.notify, .word)
        self.intent = reader.read(.intent, .choice(PictureIntent.self))
        self.timeouts = reader.read(.timeouts, .object(RoutesFile.Timeouts.self))
        self.heartbeat = reader.read(.heartbeat, .object(RoutesFile.Heartbeat.self))
        self.present = reader.present
        self.place = reader.value.place
    }
}

extension RoutesFile.Match: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.model = reader.read(.model, .list(of: .modelPattern, minimum: 1))
    }
}

extension RoutesFile.UpstreamEntry: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.upstream = reader.require(.upstream, .word)
        self.model = reader.read(.model, .text(limit: 256))
        self.timeouts = reader.read(.timeouts, .object(RoutesFile.Timeouts.self))
    }

    init(name: Located<String>) {
        self.upstream = name
        self.model = nil
        self.timeouts = nil
    }
}

extension ValueForm<RoutesFile.UpstreamEntry> {
    static var upstreamEntry: Self {
        ValueForm(expected: "an upstream's name, or an object with \"upstream\"") { value in
            switch value.node.kind {
            case .object: ValueForm.object(RoutesFile.UpstreamEntry.self).read(value)
            default: ValueForm<String>.word.read(value).map { .init(name: Located($0, at: value.place)) }
            }
        }
    }
}

extension RoutesFile.Allowance: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.maxN = reader.read(.maxN, .integer(in: 1...100))
        self.sizes = reader.read(.sizes, .list(of: .word, minimum: 1))
        self.models = reader.read(.models, .list(of: .modelPattern, minimum: 1))
    }
}

extension RoutesFile.Heartbeat: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.every = reader.read(.every, .duration(in: .milliseconds(100) ... .seconds(600)))
        self.style = reader.read(.style, .choice(HeartbeatStyle.self))
    }
}
