package import StreamCodecs

extension RoutesFile {
    /// `server`
    package struct Server: Sendable {
        /// Default `127.0.0.1:8080`. Needs a restart to change.
        package let listen: Located<ListenAddress>?
        /// Base of the absolute URLs in answers. Default: `http://` and the address listened on.
        package let publicURL: Located<String>?
        /// Peers whose forwarding headers count. Default: none.
        package let trustedProxies: Located<[Located<IPNetwork>]>?
        /// Pages of other origins that may call.
        package let cors: Located<CrossOrigin>?
        /// Speak TLS, with HTTP/2 for clients that can. Default: plain HTTP/1.1. Needs a restart to come or go.
        package let tls: Located<TLS>?
        /// Largest request body. Default 64 MiB, 1 KiB…1 GiB.
        package let body: Located<Int>?
        /// Longest request target. Default 16 KiB, 256 B…1 MiB.
        package let uri: Located<Int>?
        /// Connections at once.
        package let connections: Located<Connections>?
        /// How long a client may leave a write untaken before it is dropped. Default 30 s, 1 s…1 h.
        package let writeStall: Located<Duration>?
        /// How long running jobs may go on after a stop was asked. Default 30 s, 0 s…1 h.
        package let drain: Located<Duration>?
        /// Whether the page at `/` is served. Default: when `listen` is loopback.
        package let playground: Located<Bool>?

        package enum Key: String, ConfigurationKey {
            case listen
            case publicURL = "public_url"
            case trustedProxies = "trusted_proxies"
            case cors, tls, body, uri, connections
            case writeStall = "write_stall"
            case drain, playground
        }
    }

    /// `server.tls`
    package struct TLS: Sendable {
        /// A PEM file: the listener's certificate, then those between it and a root. Required.
        package let certificate: Located<String>?
        /// A PEM file without passphrase. Required.
        package let privateKey: Located<String>?

        package enum Key: String, ConfigurationKey {
            case certificate
            case privateKey = "private_key"
        }
    }

    /// `server.cors`
    package struct CrossOrigin: Sendable {
        /// Exactly these; at least one. Required.
        package let origins: Located<[Located<String>]>?

        package enum Key: String, ConfigurationKey { case origins }
    }

    /// `server.connections`
    package struct Connections: Sendable {
        /// Default 10,000, 1…1,000,000.
        package let total: Located<Int>?
        /// Default 100, 1…1,000,000.
        package let perIP: Located<Int>?

        package enum Key: String, ConfigurationKey {
            case total
            case perIP = "per_ip"
        }
    }

    /// `admin`
    package struct Admin: Sendable {
        /// Default `127.0.0.1:9090`. Needs a restart to change.
        package let listen: Located<ListenAddress>?
        /// What operators show, each of a list. Required off loopback.
        package let token: Located<[SecretReference]>?

        package enum Key: String, ConfigurationKey { case listen, token }
    }

    /// `storage`
    package struct Storage: Sendable {
        /// Where jobs are kept beyond the life of the process. Absent: in memory alone.
        package let jobs: Located<JobStorage>?
        /// Where finished images are kept. Absent: nowhere, and only inline delivery is possible.
        package let images: Located<ImageStorage>?
        /// Bound on the payloads of running jobs. Default 512 MiB, 16 MiB…1024 GiB.
        package let memory: Located<Int>?

        package enum Key: String, ConfigurationKey {
            case jobs, images, memory
        }
    }

    /// `storage.jobs`
    package struct JobStorage: Sendable {
        /// The database, made when absent. Required. Needs a restart to change.
        package let sqlite: Located<String>?
        /// How long a job is known after its end. Default 24 h, 1 min…3650 d. Needs a restart to change.
        package let retention: Located<Duration>?
        /// Whether prompts stay when a job is over. Default true. Needs a restart to change.
        package let keepPrompts: Located<Bool>?

        package enum Key: String, ConfigurationKey {
            case sqlite, retention
            case keepPrompts = "keep_prompts"
        }
    }

    /// `storage.images`
    package struct ImageStorage: Sendable {
        /// Folder, made when absent. Required. Needs a restart to change.
        package let disk: Located<String>?
        /// Folders below `disk`. Default `generated-images`. Needs a restart to change.
        package let prefix: Located<String>?
        /// How long a signed URL works. Default 1 h, 1 s…30 d.
        package let urlLifetime: Located<Duration>?
        /// Signs URLs: the first signs, all verify. Absent or unset: made once under `var/keys`.
        package let secret: Located<[SecretReference]>?

        package enum Key: String, ConfigurationKey {
            case disk, prefix
            case urlLifetime = "url_lifetime"
            case secret
        }
    }
}

extension RoutesFile.Server: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.listen = reader.read(.listen, .listenAddress)
        self.publicURL = reader.read(.publicURL, .webURL)
        self.trustedProxies = reader.read(.trustedProxies, .list(of: .network))
        self.cors = reader.read(.cors, .object(RoutesFile.CrossOrigin.self))
        self.tls = reader.read(.tls, .object(RoutesFile.TLS.self))
        self.body = reader.read(.body, .size(in: 1024...1 << 30))
        self.uri = reader.read(.uri, .size(in: 256...1 << 20))
        self.connections = reader.read(.connections, .object(RoutesFile.Connections.self))
        self.writeStall = reader.read(.writeStall, .duration(in: .seconds(1) ... .seconds(3600)))
        self.drain = reader.read(.drain, .duration(in: .zero ... .seconds(3600)))
        self.playground = reader.read(.playground, .boolean)
    }
}

extension RoutesFile.CrossOrigin: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.origins = reader.require(.origins, .list(of: .origin, minimum: 1))
    }
}

extension RoutesFile.TLS: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.certificate = reader.require(.certificate, .text())
        self.privateKey = reader.require(.privateKey, .text())
    }
}

extension RoutesFile.Connections: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.total = reader.read(.total, .integer(in: 1...1_000_000))
        self.perIP = reader.read(.perIP, .integer(in: 1...1_000_000))
    }
}

extension RoutesFile.Admin: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.listen = reader.read(.listen, .listenAddress)
        self.token = reader.read(.token, .secret)
    }
}

extension RoutesFile.Storage: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.jobs = reader.read(.jobs, .object(RoutesFile.JobStorage.self))
        self.images = reader.read(.images, .object(RoutesFile.ImageStorage.self))
        self.memory = reader.read(.memory, .size(in: 16 << 20...1 << 40))
    }
}

extension RoutesFile.JobStorage: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.sqlite = reader.require(.sqlite, .text())
        self.retention = reader.read(.retention, .duration(in: .seconds(60) ... .seconds(3650 * 86_400)))
        self.keepPrompts = reader.read(.keepPrompts, .boolean)
    }
}

extension RoutesFile.ImageStorage: ConfigurationObject {
    init(_ reader: ObjectReader<Key>) {
        self.disk = reader.require(.disk, .text())
        self.prefix = reader.read(.prefix, .prefix)
        self.urlLifetime = reader.read(.urlLifetime, .duration(in: .seconds(1) ... .seconds(30 * 86_400)))
        self.secret = reader.read(.secret, .secret)
    }
}
