import NIOCore
import StreamCodecs
import Testing

@testable import Gateway

/// `docs/routes.schema.json` and `docs/routes.md` know the same keys as the reader.
struct PublishedSchemaTests {
    private let schema: JSONDocument
    private let page: String

    init() throws {
        self.schema = try JSONDocument(ByteBuffer(bytes: try ProjectFile.bytes("docs/routes.schema.json")))
        self.page = String(decoding: try ProjectFile.bytes("docs/routes.md"), as: UTF8.self)
    }

    private static let objects: [(definition: String?, keys: Set<String>)] = [
        (nil, keys(RoutesFile.Key.self)), ("server", keys(RoutesFile.Server.Key.self)),
        ("connections", keys(RoutesFile.Connections.Key.self)), ("cors", keys(RoutesFile.CrossOrigin.Key.self)),
        ("tls", keys(RoutesFile.TLS.Key.self)),
        ("limit", keys(RoutesFile.Limit.Key.self)), ("costs", keys(RoutesFile.Costs.Key.self)),
        ("admin", keys(RoutesFile.Admin.Key.self)),
        ("auth", keys(RoutesFile.Auth.Key.self)), ("jwt_issuer", keys(RoutesFile.Issuer.Key.self)),
        ("tickets", keys(RoutesFile.Tickets.Key.self)),
        ("storage", keys(RoutesFile.Storage.Key.self)), ("image_storage", keys(RoutesFile.ImageStorage.Key.self)),
        ("webhook", keys(RoutesFile.Webhook.Key.self)), ("upstream", keys(RoutesFile.Upstream.Key.self)),
        ("timeouts", keys(RoutesFile.Timeouts.Key.self)),
        ("route", keys(RoutesFile.Route.Key.self)),
        ("route_defaults", keys(RoutesFile.Route.Key.self).subtracting(["name", "path", "mount"])),
        ("match", keys(RoutesFile.Match.Key.self)),
        ("upstream_entry_object", keys(RoutesFile.UpstreamEntry.Key.self)),
        ("allow", keys(RoutesFile.Allowance.Key.self)), ("heartbeat", keys(RoutesFile.Heartbeat.Key.self)),
        ("request_fields", keys(RequestFields.Key.self)),
    ]

    private static func keys<Key: ConfigurationKey>(_ type: Key.Type) -> Set<String> {
        Set(Key.allCases.map(\.rawValue))
    }

    @Test(arguments: objects.indices)
    func objectHasTheReadersKeys(index: Int) throws {
        let (name, keys) = Self.objects[index]
        let object = try #require(self.definition(name))
        let properties = try #require(object["properties"])
        #expect(Set(properties.members.map(\.key)) == keys, "\(name ?? "the file")")
        #expect(object["additionalProperties"]?.boolean == false)
        for (key, _, property) in properties.members {
            #expect(property["description"]?.string?.isEmpty == false, "\(name ?? "the file").\(key)")
            #expect(name == "route_defaults" || self.page.contains("\n| `\(key)` | "), "docs/routes.md: \(key)")
        }
    }

    @Test func laterKeysHaveTheSameForm() throws {
        try self.compare(RoutesFile.Key.self, "$", self.definition(nil))
        try self.compare(RoutesFile.Server.Key.self, "server", self.definition("server"))
        try self.compare(RoutesFile.Admin.Key.self, "admin", self.definition("admin"))
        try self.compare(RoutesFile.Storage.Key.self, "storage", self.definition("storage"))
        try self.compare(RoutesFile.Upstream.Key.self, "upstream", self.definition("upstream"))
        try self.compare(RoutesFile.Route.Key.self, "route", self.definition("route"))
    }

    private func compare<Key: ConfigurationKey>(_ type: Key.Type, _ name: String, _ object: JSONNode?) throws {
        for key in Key.allCases {
            let property = try #require(object?["properties"]?[key.rawValue])
            let isLater = property["description"]?.string?.hasPrefix("Not available yet") == true
            #expect(isLater == (Key.later[key] != nil), "\(name).\(key.rawValue)")
            if let form = Key.later[key] { self.compare(form, "\(name).\(key.rawValue)", property) }
        }
    }

    private func compare(_ form: LaterForm, _ path: String, _ node: JSONNode) {
        let node = self.resolved(node)
        switch form {
        case .list(let element):
            guard let items = node["items"] else { return self.miss(path) }
            self.compare(element, path + "[]", items)
        case .named(let element):
            guard let values = node["additionalProperties"] else { return self.miss(path) }
            self.compare(element, path + ".*", values)
        case .object(let keys):
            let properties = node["properties"]?.members ?? []
            #expect(Set(properties.map(\.key)) == Set(keys.keys), "\(path)")
            for (key, _, value) in properties {
                if let form = keys[key] { self.compare(form, "\(path).\(key)", value) }
            }
        case .choice(let words):
            #expect(node["enum"]?.elements.compactMap(\.string) == words, "\(path)")
        case .text, .boolean, .number, .count, .duration, .rate, .secret, .anyObject:
            #expect(node["type"] != nil || node["anyOf"] != nil, "\(path)")
        }
    }

    private func miss(_ path: String) { Issue.record("the schema has another form at \(path)") }

    private func definition(_ name: String?) -> JSONNode? {
        name.map { self.schema.root["$defs"]?[$0] } ?? self.schema.root
    }

    private func resolved(_ node: JSONNode) -> JSONNode {
        guard let reference = node["$ref"]?.string else { return node }
        return self.definition(String(reference.dropFirst("#/$defs/".count))) ?? node
    }
}
