import Dialects
import Foundation
import HTTPTypes
import ImageGeneration
import NIOCore
import Providers

@testable import Gateway

/// Reads files given as text, in surroundings that the test decides.
enum ConfigurationFixture {
    static func load(
        _ text: String, environment: [String: String] = [:], files: [String: [UInt8]] = [:],
        directory: String = "/etc/gateway",
        catalog: ConfigurationCatalog = catalog
    ) -> LoadedConfiguration {
        self.load(Array(text.utf8), environment: environment, files: files, directory: directory, catalog: catalog)
    }

    static func load(
        _ bytes: [UInt8], environment: [String: String] = [:], files: [String: [UInt8]] = [:],
        directory: String = "/etc/gateway", catalog: ConfigurationCatalog = catalog
    ) -> LoadedConfiguration {
        let surroundings = ConfigurationSurroundings(
            directory: directory, environment: { environment[$0] },
            readFile: { path throws(ConfigurationFileError) in
                guard let bytes = files[path] else { throw ConfigurationFileError(reason: "No such file or directory") }
                return bytes
            })
        return RoutesFile.load(ByteBuffer(bytes: bytes), surroundings: surroundings, catalog: catalog)
    }

    /// A working file whose one route (and upstream, and whatever else) has more in it. Texts begin with a comma.
    static func file(route: String = "", upstream: String = "", more: String = "") -> String {
        """
        {"upstreams": {"lab": {"provider": "openai-images", "base_url": "https://lab.example/v1"\(upstream)}},
         "routes": [
          {"path": "/v1/generate", "dialect": "unified", "upstreams": ["lab"],
           "auth": "public", "public_without_limits": true\(route)}]\(more)}
        """
    }

    /// A working file with these routes; each is open to all and uses `lab` where it does not say.
    static func file(routes: [String], defaults: String = "", more: String = "") -> String {
        """
        {"upstreams": {"lab": {"provider": "openai-images", "base_url": "https://lab.example/v1"}},
         "route_defaults": {"auth": "public", "public_without_limits": true, "upstreams": ["lab"]\(defaults)},
         "routes": [
        \(routes.joined(separator: ",\n"))]\(more)}
        """
    }

    static let catalog = ConfigurationCatalog(
        dialects: [
            .init(name: "unified", traits: stream(allowed: [.inline, .url, .both]), endpoints: [create]),
            .init(
                name: "ndjson",
                traits: DialectTraits(head: .now, heartbeat: " ", streamMediaType: "application/x-ndjson"),
                endpoints: [create]),
            .init(
                name: "openai-images", traits: DialectTraits(head: .commit, heartbeat: ":\n\n", streamByBodyOnly: true),
                endpoints: [create]),
            .init(
                name: "stages",
                traits: DialectTraits(
                    head: .now, heartbeat: ":\n\n", isolatedWrites: true, defaultDelivery: .url,
                    allowedDelivery: [.url],
                    defaultDisconnectGraceMilliseconds: 30_000),
                endpoints: [
                    DialectEndpoint(method: .post, subpath: "generate", action: .submit),
                    DialectEndpoint(method: .post, subpath: "generate/stream", action: .createStreaming),
                    DialectEndpoint(method: .get, subpath: "jobs/{id}", action: .snapshot),
                ]),
        ],
        providers: [
            .init(name: "openai-images") { configuration in
                configuration.model == "impossible"
                    ? .failure(ProviderConfigurationProblem(key: "model", message: "no such model"))
                    : .success(ConfigurationFixture.capabilities([.generate, .edit]))
            },
            .init(name: "queue") { _ in .success(ConfigurationFixture.capabilities([.generate])) },
            .init(name: "unsimulated") { _ in .success(ConfigurationFixture.capabilities([.generate])) },
        ],
        presets: [.init(name: "stages")], simulated: ["openai-images", "queue"],
        laterDialects: ["progressive", "chat"],
        laterProviders: ["openai-responses", "gemini"], laterPresets: ["bfl"])

    private static let create = DialectEndpoint(method: .post, subpath: "", action: .create)

    private static func stream(allowed: Set<Delivery>) -> DialectTraits {
        DialectTraits(head: .now, heartbeat: ": ka\n", allowedDelivery: allowed, resumable: true)
    }

    private static func capabilities(_ operations: Set<ImageRequest.Operation>) -> ProviderCapabilities {
        ProviderCapabilities(operations: operations, previews: true, maximumCount: 10, parameters: [])
    }
}

/// Files of the checkout.
enum ProjectFile {
    static func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: self.root.appendingPathComponent(path)))
    }

    static let root: URL = URL(fileURLWithPath: #filePath).deletingLastPathComponent().resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
}

extension LoadedConfiguration {
    /// `line:column: severity: path: message`, one each.
    var lines: [String] {
        self.problems.map { String($0.rendered(file: "").dropFirst()) }
    }

    var errors: [ConfigurationProblem] { self.problems.filter { $0.severity == .error } }
}
