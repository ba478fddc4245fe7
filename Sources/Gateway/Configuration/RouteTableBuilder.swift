import Dialects
import ImageGeneration
import Providers

/// Turns the mirror of the file into a table and finds what is wrong with the whole. Keeps going after a problem, and
/// never speaks twice of a value that the reader has refused.
struct RouteTableBuilder {
    let file: RoutesFile
    let surroundings: ConfigurationSurroundings
    let catalog: ConfigurationCatalog
    private(set) var problems: [ConfigurationProblem] = []

    init(file: RoutesFile, surroundings: ConfigurationSurroundings, catalog: ConfigurationCatalog) {
        self.file = file
        self.surroundings = surroundings
        self.catalog = catalog
    }

    /// The table as far as it could be made; of use only when neither ``problems`` nor the reader's hold an error.
    mutating func build() -> RouteTable {
        let server = self.server()
        let admin = self.admin(beside: server.listen)
        let auth = self.auth()
        let storage = self.storage()
        let webhooks = self.webhooks()
        let upstreams = self.upstreams()
        self.checkGroups(upstreams)
        let limits = self.limits()
        let routes = self.routes(upstreams: upstreams, limits: limits)
        return RouteTable(
            server: server, admin: admin, auth: auth, storage: storage, webhooks: webhooks,
            upstreams: upstreams.compactMap(\.upstream), limits: limits, costs: self.costs(), routes: routes)
    }

    mutating func report(
        _ message: String, at place: ConfigurationPlace, _ severity: ConfigurationProblem.Severity = .error
    ) {
        self.problems.append(ConfigurationProblem(severity, at: place, message))
    }

    private mutating func server() -> RouteTable.Server {
        let server = self.file.server?.value
        let listen = server?.listen?.value ?? ListenAddress(host: "127.0.0.1", port: 8080)
        let connections = server?.connections?.value
        return RouteTable.Server(
            listen: listen,
            publicURL: server?.publicURL?.value,
            trustedProxies: server?.trustedProxies?.value.map(\.value) ?? [],
            origins: Set(server?.cors?.value.origins?.value.map(\.value) ?? []),
            tls: server?.tls.flatMap { self.identity($0.value) },
            maximumBodyBytes: server?.body?.value ?? 64 << 20,
            maximumURIBytes: server?.uri?.value ?? 16 << 10,
            maximumConnections: connections?.total?.value ?? 10_000,
            maximumConnectionsPerIP: connections?.perIP?.value ?? 100,
            writeStall: server?.writeStall?.value ?? .seconds(30),
            drain: server?.drain?.value ?? .seconds(30),
            playground: server?.playground?.value ?? listen.isLoopback)
    }

    private mutating func identity(_ tls: RoutesFile.TLS) -> TLSIdentity? {
        guard let certificate = tls.certificate, let privateKey = tls.privateKey else { return nil }
        let files = (
            certificate: self.surroundings.resolve(certificate.value),
            privateKey: self.surroundings.resolve(privateKey.value)
        )
        do {
            return try TLSIdentity(
                certificate: files.certificate, privateKey: files.privateKey, read: self.surroundings.readFile)
        } catch {
            let isKey = error.part == .privateKey
            let file = ConfigurationText.quoted(isKey ? files.privateKey : files.certificate)
            self.report("file \(file): \(error.reason)", at: isKey ? privateKey.place : certificate.place)
            return nil
        }
    }

    private mutating func admin(beside listen: ListenAddress) -> RouteTable.Admin {
        let given = self.file.admin?.value.listen
        let address = given?.value ?? ListenAddress(host: "127.0.0.1", port: 9090)
        let tokens = self.adminTokens()
        if let given, !address.isLoopback, tokens.isEmpty {
            self.report(
                "an admin listener off loopback needs a \"token\" that is set; found \"\(address)\" without one",
                at: given.place)
        }
        if address == listen, address.port != 0,
            let place = given?.place ?? self.file.server?.value.listen?.place
        {
            self.report("server.listen and admin.listen are both \"\(address)\"; expected two addresses", at: place)
        }
        return RouteTable.Admin(listen: address, tokens: tokens)
    }

    private mutating func storage() -> RouteTable.Storage {
        let storage = self.file.storage?.value
        var images: RouteTable.Storage.Images?
        if let given = storage?.images?.value, let disk = given.disk {
            images = RouteTable.Storage.Images(
                disk: self.surroundings.resolve(disk.value), prefix: given.prefix?.value ?? "generated-images",
                urlLifetime: given.urlLifetime?.value ?? .seconds(3600),
                secret: self.signingSecret(given.secret, name: "image-urls", of: "URLs"))
        }
        let jobs = storage?.jobs?.value
        return RouteTable.Storage(
            jobs: jobs?.sqlite.map { database in
                RouteTable.Storage.Jobs(
                    database: self.surroundings.resolve(database.value),
                    retention: jobs?.retention?.value ?? .seconds(86_400),
                    keepsPrompts: jobs?.keepPrompts?.value ?? true)
            }, images: images, memoryBytes: storage?.memory?.value ?? 512 << 20)
    }
}
