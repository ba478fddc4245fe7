import ImageGeneration
import NIOCore
import Providers
import Synchronization
import Transport

/// A route table with everything made that it names: what requests are served by until the next reload.
final class LiveTable: Sendable {
    let table: RouteTable
    /// Base of absolute URLs, without trailing slash.
    let publicURL: String
    /// What is known of the upstreams, whichever table is in force.
    let conditions: UpstreamConditions
    private let targets: [String: UpstreamTarget]
    let edge: EdgePolicy
    private let encodedAPI = Mutex<ByteBuffer?>(nil)

    /// - Parameters:
    ///   - publicURL: as configured or as listened on.
    ///   - simulator: root URL of the embedded simulator, where a table names it.
    ///   - conditions: those of the table before.
    /// - Throws: ``UpstreamProblem`` for an upstream whose provider refuses its configuration.
    init(
        _ table: RouteTable, publicURL: String, simulator: String?, conditions: UpstreamConditions = .init()
    ) throws {
        self.table = table
        self.publicURL = publicURL
        self.conditions = conditions
        var targets: [String: UpstreamTarget] = [:]
        for upstream in table.upstreams where upstream.isAvailable {
            var target = try Self.target(upstream, simulator: simulator)
            target.condition = conditions.condition(of: upstream.name, upstream.steadiness)
            targets[upstream.name] = target
        }
        self.targets = targets
        self.edge = EdgePolicy(table.server, publicURL: publicURL)
    }

    private init(_ other: LiveTable, publicURL: String) {
        self.table = other.table
        self.targets = other.targets
        self.conditions = other.conditions
        self.publicURL = publicURL
        self.edge = EdgePolicy(other.table.server, publicURL: publicURL)
    }

    /// The same under another public URL.
    func published(at publicURL: String) -> LiveTable { LiveTable(self, publicURL: publicURL) }

    /// The API as configured, in OpenAPI's words. Written when first asked for.
    var apiDocument: ByteBuffer {
        if let known = self.encodedAPI.withLock({ $0 }) { return known }
        // Written apart from the lock; whoever comes meanwhile writes the same.
        let document = APIDocument(self.table, publicURL: self.publicURL).encoded
        self.encodedAPI.withLock { $0 = document }
        return document
    }

    /// A configured upstream beside what is known of it; nil where it is not available.
    struct UpstreamReport: Sendable {
        let upstream: RouteTable.Upstream
        let condition: UpstreamCondition.Report?
    }

    var reports: [UpstreamReport] {
        self.table.upstreams.map { UpstreamReport(upstream: $0, condition: self.targets[$0.name]?.condition.report) }
    }

    /// Nil for an upstream that is not available.
    func target(_ target: RouteTable.Target) -> UpstreamTarget? {
        var found = self.targets[target.upstream.name]
        if let model = target.model { found?.model = model }
        return found
    }

    private static func target(_ upstream: RouteTable.Upstream, simulator: String?) throws -> UpstreamTarget {
        guard let factory = ProviderRegistry.factory(named: upstream.provider) else {
            throw UpstreamProblem(upstream: upstream.name, message: "provider \(upstream.provider) is not known")
        }
        let base = try Self.baseURL(upstream, simulator: simulator)
        let configuration = upstream.providerConfiguration(baseURL: base, apiKey: upstream.apiKey?.reveal())
        do {
            return UpstreamTarget(
                name: upstream.name, adapter: FanOutAdapter.around(try factory(configuration)), model: upstream.model,
                connection: UpstreamConnectionPolicy(
                    version: upstream.http == .http2 ? .http2 : .http1,
                    proxy: upstream.base == .simulator ? "" : upstream.proxy),
                resultHosts: upstream.resultHosts, baseURL: base, allowsPrivateNetwork: upstream.privateNetwork)
        } catch {
            throw UpstreamProblem(upstream: upstream.name, message: "\(error.key): \(error.message)")
        }
    }

    private static func baseURL(_ upstream: RouteTable.Upstream, simulator: String?) throws -> String {
        switch upstream.base {
        case .url(let url): return url
        case .simulator:
            guard let simulator else {
                throw UpstreamProblem(upstream: upstream.name, message: "the embedded simulator does not run")
            }
            return simulator + SimulatorPaths.root(provider: upstream.provider, preset: upstream.preset)
        }
    }
}

/// Where the simulator speaks each provider's API, below its root.
package enum SimulatorPaths {
    package static func root(provider: String, preset: String?) -> String {
        switch (provider, preset) {
        case ("queue", "fal"): "/fal"
        case ("queue", "replicate"): "/replicate/v1"
        case ("queue", "bfl"): "/bfl/v1"
        case ("queue", _): "/api/v1/images"
        case ("gemini", _), ("sync", "imagen"): "/v1beta"
        case ("automatic1111", _), ("sync", "stability"): ""
        default: "/v1"
        }
    }
}

/// Why a configured upstream cannot be used.
package struct UpstreamProblem: Error, Sendable, CustomStringConvertible {
    let upstream: String
    let message: String

    package var description: String { "upstream \(self.upstream): \(self.message)" }
}

/// The table in force; replaced whole by a reload.
final class TableHolder: Sendable {
    private let state: Mutex<State>

    private struct State {
        var table: LiveTable
        /// Nil until the listener is bound.
        var address: ListenAddress?

        /// Absolute URLs name the address that is really listened on, where the file names no other.
        mutating func publish(_ table: LiveTable) {
            guard let address = self.address else { return self.table = table }
            self.table = table.published(at: table.table.server.publicURL(listening: address))
        }
    }

    init(_ table: LiveTable) { self.state = Mutex(State(table: table)) }

    var current: LiveTable { self.state.withLock { $0.table } }

    func replace(_ table: LiveTable) { self.state.withLock { $0.publish(table) } }

    func listens(at address: ListenAddress) {
        self.state.withLock { state in
            state.address = address
            state.publish(state.table)
        }
    }
}
