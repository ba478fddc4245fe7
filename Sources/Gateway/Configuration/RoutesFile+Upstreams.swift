package import StreamCodecs

extension RoutesFile {
    /// An entry of `upstreams`.
    package struct Upstream: Sendable {
        /// API family: `openai-images`, `queue`. Required.
        package let provider: Located<String>?
        /// Which service a `queue` or `sync` speaks, required there without a `definition`; in which points a service of another
        /// provider differs.
        package let preset: Located<String>?
        /// How a `queue` or `sync` speaks to its service, or what it does otherwise than its preset.
        package let definition: Located<JSONNode>?
        /// Root of the API, or `simulator:`. Required where no preset brings its own.
        package let baseURL: Located<UpstreamBase>?
        /// The first that is set is sent. All unset: the upstream is unavailable. Absent: none is sent.
        package let apiKey: Located<[SecretReference]>?
        /// Sent instead of the client's model name.
        package let model: Located<String>?
        /// `1.1` (default) or `2`.
        package let http: Located<UpstreamHTTPVersion>?
        /// Instead of the one that the environment names.
        package let proxy: Located<String>?
        /// For calls to this upstream, where a route does not say.
        package let timeouts: Located<Timeouts>?
        /// Largest event or JSON answer. Default 64 MiB, 64 KiB…1 GiB.
        package let event: Located<Int>?
        /// Hosts that result URLs may point at, besides that of `base_url`. Default: the preset's.
        package let resultHosts: Located<[Located<HostPattern>]>?
        /// Whether result URLs may be plain http and lead into private networks. Default false.
        package let privateNetwork: Located<Bool>?
        /// Sent with every call to the API, for services that ask for some. Never keys.
        package let headers: Located<[NamedEntry<String>]>?
        /// Appended to the URL of every call to the API: `api-version`.
        package let query: Located<[NamedEntry<String>]>?
        /// Whether work is handed over as a background response. Only `openai-responses`. Default false.
        package let background: Located<Bool>?
        /// Jobs at once. Default: any number; 1…1,000,000.
        package let concurrency: Located<Int>?
        /// Jobs that may wait for one of those places. Default 100, 0…10,000.
        package let waiting: Located<Int>?
        /// When the upstream is left alone.
        package let breaker: Located<Breaker>?
        /// What is asked again.
        package let retry: Located<Retry>?
        /// The keys that are there.
        package let present: Set<Key>

        package enum Key: String, ConfigurationKey {
            case provider, preset, definition
            case baseURL = "base_url"
            case apiKey = "api_key"
            case model, http, proxy, timeouts, event
            case resultHosts = "result_hosts"
            case privateNetwork = "private_network"
            case headers, query, background, concurrency, waiting, breaker, retry

        }
    }

    /// `breaker`
    package struct Breaker: Sendable {
        /// Failures in a row after which the upstream is left alone. Default 5, 0…1000; 0: it never is.
        package let failures: Located<Int>?
        /// For how long, before one job may try. Default 5 s, 100 ms…1 h.
        package let open: Located<Duration>?

        package enum Key: String, ConfigurationKey { case failures, open }
    }

    /// `retry`
    package struct Retry: Sendable {
        /// Calls for one job, the first among them. Default 3, 1…10.
        package let attempts: Located<Int>?
        /// Before the second, doubled for each further one, with jitter. Default 250 ms, 1 ms…1 m.
        package let backoff: Located<Duration>?

        package enum Key: String, ConfigurationKey { case attempts, backoff }
    }

    /// A member of an entry of `groups`.
    package struct GroupMember: Sendable {
        /// Name of an upstream. Required.
        package let upstream: Located<String>?
        /// Its share of the work beside the other members'. Default 1, 1…1000.
        package let weight: Located<Int>?

        package enum Key: String, ConfigurationKey { case upstream, weight }
    }

    /// `timeouts`
    package struct Timeouts: Sendable {
        /// Name, TCP and TLS. Default 5 s, 10 ms…5 m.
        package let connect: Located<Duration>?
        /// From the request's last byte to the response's head. Default 2 m, 10 ms…1 d.
        package let firstByte: Located<Duration>?
        /// Silence inside a response. Default 90 s, 10 ms…1 d.
        package let idle: Located<Duration>?
        /// From the upstream's acceptance to the end. Default 10 m, 10 ms…7 d.
        package let total: Located<Duration>?
        /// Waiting rooms, ours and theirs. Default 30 m, 10 ms…7 d.
        package let queue: Located<Duration>?

        package enum Key: String, ConfigurationKey {
            case connect
            case firstByte = "first_byte"
            case idle, total, queue
        }
    }
}

/// The HTTP version spoken to an upstream.
package enum UpstreamHTTPVersion: String, Sendable, CaseIterable {
    case http1 = "1.1"
    case http2 = "2"
}

extension RoutesFile.Upstream: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.provider = reader.require(.provider, .word)
        self.preset = reader.read(.preset, .word)
        self.definition = reader.read(.definition, .anyObject)
        self.baseURL = reader.read(.baseURL, .upstreamBase)
        self.apiKey = reader.read(.apiKey, .secret)
        self.model = reader.read(.model, .text(limit: 256))
        self.http = reader.read(.http, .choice(UpstreamHTTPVersion.self))
        self.proxy = reader.read(.proxy, .proxy)
        self.timeouts = reader.read(.timeouts, .object(RoutesFile.Timeouts.self))
        self.event = reader.read(.event, .size(in: 64 << 10...1 << 30))
        self.resultHosts = reader.read(.resultHosts, .list(of: .hostPattern))
        self.privateNetwork = reader.read(.privateNetwork, .boolean)
        self.headers = reader.read(.headers, .named(.text()))
        self.query = reader.read(.query, .named(.text()))
        self.background = reader.read(.background, .boolean)
        self.concurrency = reader.read(.concurrency, .integer(in: 1...1_000_000))
        self.waiting = reader.read(.waiting, .integer(in: 0...10_000))
        self.breaker = reader.read(.breaker, .object(RoutesFile.Breaker.self))
        self.retry = reader.read(.retry, .object(RoutesFile.Retry.self))
        self.present = reader.present
    }
}

extension RoutesFile.Breaker: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.failures = reader.read(.failures, .integer(in: 0...1000))
        self.open = reader.read(.open, .duration(in: .milliseconds(100) ... .seconds(3600)))
    }
}

extension RoutesFile.Retry: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.attempts = reader.read(.attempts, .integer(in: 1...10))
        self.backoff = reader.read(.backoff, .duration(in: .milliseconds(1) ... .seconds(60)))
    }
}

extension RoutesFile.GroupMember: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.upstream = reader.require(.upstream, .word)
        self.weight = reader.read(.weight, .integer(in: 1...1000))
    }
}

extension RoutesFile.Timeouts: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        let shortest = Duration.milliseconds(10)
        let day = Duration.seconds(86_400)
        self.connect = reader.read(.connect, .duration(in: shortest ... .seconds(300)))
        self.firstByte = reader.read(.firstByte, .duration(in: shortest...day))
        self.idle = reader.read(.idle, .duration(in: shortest...day))
        self.total = reader.read(.total, .duration(in: shortest...day * 7))
        self.queue = reader.read(.queue, .duration(in: shortest...day * 7))
    }
}
