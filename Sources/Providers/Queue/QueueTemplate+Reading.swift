import ImageGeneration
import NIOCore
import StreamCodecs

extension QueueTemplate {
    /// - Parameter layers: of plain objects the members are merged, those of an earlier layer first; of anything else the first
    ///   layer counts. Never empty.
    init(_ layers: [JSONNode], path: String, depth: Int) throws(ProviderConfigurationProblem) {
        guard depth < 32 else { throw ProviderConfigurationProblem(key: path, message: "is nested too deep") }
        let node = layers[0]
        switch node.kind {
        case .string:
            guard let text = node.string, text.hasPrefix("$") else { break }
            guard let field = QueueRequestField(String(text.dropFirst())) else {
                throw ProviderConfigurationProblem(key: path, message: "\(text.prefix(64)) is no field of the request")
            }
            self = .field(field, QueueFieldRule())
            return
        case .array:
            self = .array(try Self.list(node, path: path, depth: depth))
            return
        case .object where node["$field"] != nil:
            self = try Self.ruled(DefinitionReader([node], path: path))
            return
        case .object where node["$first"] != nil:
            self = try Self.alternatives(node, path: path, depth: depth)
            return
        case .object:
            self = .object(try Self.merged(layers, path: path, depth: depth))
            return
        case .number, .boolean, .null: break
        }
        self = .literal(node.raw)
    }

    private static func merged(
        _ layers: [JSONNode], path: String, depth: Int
    ) throws(ProviderConfigurationProblem) -> [(key: String, value: QueueTemplate)] {
        let plain = layers.prefix { $0.kind == .object && $0["$field"] == nil && $0["$first"] == nil }
        var members: [(key: String, value: QueueTemplate)] = []
        var seen: Set<String> = []
        // In the order of the last layer, which is the preset's, so that what a service is sent reads as it is documented.
        for key in plain.reversed().flatMap({ $0.members.map(\.key) }) where seen.insert(key).inserted {
            let found = plain.compactMap { $0[key] }.prefix { !$0.isNull }
            guard plain.lazy.compactMap({ $0[key] }).first?.isNull == false else { continue }
            members.append((key, try QueueTemplate(Array(found), path: "\(path).\(key)", depth: depth + 1)))
        }
        return members
    }

    private static func list(
        _ node: JSONNode, path: String, depth: Int
    ) throws(ProviderConfigurationProblem) -> [QueueTemplate] {
        var elements: [QueueTemplate] = []
        for element in node.elements {
            elements.append(try QueueTemplate([element], path: "\(path).\(elements.count)", depth: depth + 1))
        }
        return elements
    }

    private static func alternatives(
        _ node: JSONNode, path: String, depth: Int
    ) throws(ProviderConfigurationProblem) -> QueueTemplate {
        try DefinitionReader([node], path: path).check(keys: ["$first"])
        guard let list = node["$first"], list.kind == .array, !list.elements.isEmpty else {
            throw ProviderConfigurationProblem(key: path, message: "expected $first to be a list of alternatives")
        }
        return .first(try self.list(list, path: path, depth: depth))
    }

    private static func ruled(_ reader: DefinitionReader) throws(ProviderConfigurationProblem) -> QueueTemplate {
        try reader.check(keys: [
            "$field", "map", "others", "nearest", "form", "index", "at_least", "area", "multiple_of",
        ])
        guard let name = try reader.string("$field"), let field = QueueRequestField(name) else {
            throw reader.problem("$field", "is no field of the request")
        }
        var rule = QueueFieldRule()
        rule.map = try self.map(reader.object("map"))
        rule.keepsOthers = try reader.choice("others", of: Others.self) != .drop
        rule.asDataURL = try reader.choice("form", of: Form.self) == .dataURL
        rule.index = try reader.integer("index", in: 0...15)
        rule.leastCount = try reader.integer("at_least", in: 1...16) ?? 1
        rule.area = try reader.integer("area", in: 4096...67_108_864)
        rule.multiple = try reader.integer("multiple_of", in: 1...1024) ?? 1
        for text in try reader.strings("nearest") {
            guard let ratio = AspectRatio(text) else {
                throw reader.problem("nearest", "expected ratios such as \"16:9\"")
            }
            rule.nearest.append(ratio)
        }
        return .field(field, rule)
    }

    private static func map(
        _ reader: DefinitionReader?
    ) throws(ProviderConfigurationProblem) -> [String: QueueFieldRule.Mapped] {
        guard let reader else { return [:] }
        var map: [String: QueueFieldRule.Mapped] = [:]
        for key in try reader.memberKeys() {
            guard let node = reader.layers[0][key] else { continue }
            switch node.kind {
            case .null: map[key] = .nothing
            case .string, .number, .boolean: map[key] = .value(node.raw)
            case .object, .array: throw reader.problem(key, "expected a text, a number, true, false or null")
            }
        }
        return map
    }

    private enum Others: String, CaseIterable { case keep, drop }
    private enum Form: String, CaseIterable { case base64, dataURL = "data_url" }
}
