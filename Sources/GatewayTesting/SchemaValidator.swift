package import Foundation

/// Checks JSON documents against a JSON Schema (2020-12), written apart from the code under test: Foundation parses,
/// and nothing of ours is used.
///
/// The subset: `type`, `const`, `enum`, `required`, `properties`, `additionalProperties`, `items`, `minItems`,
/// `maxItems`, `minLength`, `maxLength`, `pattern`, `minimum`, `maximum`, `oneOf`, `anyOf`, `allOf`, and `$ref` into
/// `$defs`. A keyword outside it is an error of the schema, so that no rule is silently left out.
package struct SchemaValidator: Sendable {
    private let root: Value

    /// - Throws: `SchemaError` for a schema that is no JSON or uses a keyword outside the subset.
    package init(schema: [UInt8]) throws {
        self.root = try JSONDecoder().decode(Value.self, from: Data(schema))
        try Self.checkKeywords(self.root, at: "#")
    }

    package init(contentsOf file: URL) throws {
        try self.init(schema: [UInt8](try Data(contentsOf: file)))
    }

    /// `docs/events.schema.json` of this checkout.
    package static func events() throws -> SchemaValidator {
        let checkout = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return try SchemaValidator(contentsOf: checkout.appendingPathComponent("docs/events.schema.json"))
    }

    /// Every breach in the document, as `path: what is wrong`; empty when it is valid.
    /// - Parameter definition: A name in `$defs` to check against instead of the root.
    package func problems(in document: some Sequence<UInt8>, definition: String? = nil) -> [String] {
        let value: Value
        do {
            value = try JSONDecoder().decode(Value.self, from: Data(document))
        } catch {
            return ["$: not JSON: \(error)"]
        }
        let schema = definition.map { Value.object(["$ref": .string("#/$defs/\($0)")]) } ?? self.root
        return self.problems(value, schema, at: "$", depth: 0)
    }

    package struct SchemaError: Error, CustomStringConvertible {
        package let description: String
    }
}

// MARK: - Rules

extension SchemaValidator {
    private static let maximumDepth = 64

    private func problems(_ value: Value, _ schema: Value, at path: String, depth: Int) -> [String] {
        guard depth < Self.maximumDepth else { return ["\(path): nested too deep"] }
        guard case .object(let rules) = schema else {
            return schema == .bool(true) ? [] : ["\(path): not allowed"]
        }
        var found: [String] = []
        for (keyword, rule) in rules.sorted(by: { $0.key < $1.key }) {
            switch keyword {
            case "$ref": found += self.reference(value, rule, at: path, depth: depth)
            case "oneOf", "anyOf", "allOf": found += self.combine(value, keyword, rule, at: path, depth: depth)
            case "required", "properties", "additionalProperties":
                found += self.object(value, keyword, rule, rules, at: path, depth: depth)
            case "items", "minItems", "maxItems": found += self.array(value, keyword, rule, at: path, depth: depth)
            default:
                if let problem = Self.scalar(value, keyword, rule) { found.append("\(path): \(problem)") }
            }
        }
        return found
    }

    private func reference(_ value: Value, _ rule: Value, at path: String, depth: Int) -> [String] {
        guard case .string(let text) = rule, text.hasPrefix("#/$defs/"), case .object(let root) = self.root,
            case .object(let definitions)? = root["$defs"], let target = definitions[String(text.dropFirst(8))]
        else { return ["\(path): the schema's \(rule) leads nowhere"] }
        return self.problems(value, target, at: path, depth: depth + 1)
    }

    private func combine(_ value: Value, _ keyword: String, _ rule: Value, at path: String, depth: Int) -> [String] {
        guard case .array(let branches) = rule else { return ["\(path): the schema's \(keyword) is no array"] }
        let results = branches.map { self.problems(value, $0, at: path, depth: depth + 1) }
        let fitting = results.count { $0.isEmpty }
        switch keyword {
        case "allOf": return results.flatMap { $0 }
        case "anyOf" where fitting > 0, "oneOf" where fitting == 1: return []
        default:
            let nearest = results.min { $0.count < $1.count } ?? []
            return ["\(path): fits \(fitting) branches of \(keyword); the nearest says:"] + nearest
        }
    }

    private func object(
        _ value: Value, _ keyword: String, _ rule: Value, _ rules: [String: Value], at path: String, depth: Int
    ) -> [String] {
        guard case .object(let members) = value else { return [] }
        switch (keyword, rule) {
        case ("required", .array(let names)):
            return names.compactMap { name in
                guard case .string(let name) = name, members[name] == nil else { return nil }
                return "\(path): lacks \(name)"
            }
        case ("properties", .object(let schemas)):
            return members.sorted { $0.key < $1.key }.flatMap { name, member in
                schemas[name].map { self.problems(member, $0, at: "\(path).\(name)", depth: depth + 1) } ?? []
            }
        case ("additionalProperties", _):
            let known: [String: Value] = if case .object(let known)? = rules["properties"] { known } else { [:] }
            return members.filter { known[$0.key] == nil }.sorted { $0.key < $1.key }.flatMap { name, member in
                self.problems(member, rule, at: "\(path).\(name)", depth: depth + 1)
            }
        default: return ["\(path): the schema's \(keyword) has a wrong type"]
        }
    }

    private func array(_ value: Value, _ keyword: String, _ rule: Value, at path: String, depth: Int) -> [String] {
        guard case .array(let elements) = value else { return [] }
        switch keyword {
        case "minItems": return elements.count >= Int(rule.number ?? 0) ? [] : ["\(path): too few elements"]
        case "maxItems": return elements.count <= Int(rule.number ?? 0) ? [] : ["\(path): too many elements"]
        default:
            return elements.enumerated().flatMap { index, element in
                self.problems(element, rule, at: "\(path)[\(index)]", depth: depth + 1)
            }
        }
    }

    /// One rule that looks at the value itself; nil when it holds.
    private static func scalar(_ value: Value, _ keyword: String, _ rule: Value) -> String? {
        switch keyword {
        case "type":
            let names: [Value] = if case .array(let names) = rule { names } else { [rule] }
            return names.contains { value.isOf(type: $0) } ? nil : "is not of type \(rule)"
        case "const": return value == rule ? nil : "is not \(rule)"
        case "enum":
            guard case .array(let choices) = rule, !choices.contains(value) else { return nil }
            return "\(value) is none of \(choices)"
        case "minimum", "maximum":
            guard let number = value.number, let bound = rule.number else { return nil }
            return (keyword == "minimum" ? number >= bound : number <= bound)
                ? nil : "\(number) breaks \(keyword) \(bound)"
        case "minLength", "maxLength":
            guard case .string(let text) = value, let bound = rule.number else { return nil }
            let count = Double(text.unicodeScalars.count)
            return (keyword == "minLength" ? count >= bound : count <= bound) ? nil : "breaks \(keyword) \(bound)"
        case "pattern":
            guard case .string(let text) = value, case .string(let pattern) = rule else { return nil }
            if pattern == self.base64Pattern { return self.isBase64(text) ? nil : "is not canonical base64" }
            guard let regex = try? Regex(pattern) else { return "the schema's pattern \(pattern) is not understood" }
            return text.firstMatch(of: regex) == nil ? "\(text.prefix(80)) does not match \(pattern)" : nil
        default: return nil
        }
    }

    /// Pictures are megabytes long, which a regular expression takes seconds for.
    private static let base64Pattern = "^[A-Za-z0-9+/]+={0,2}$"

    private static func isBase64(_ text: String) -> Bool {
        let digits = text.utf8.reversed().drop { $0 == UInt8(ascii: "=") }
        guard !digits.isEmpty, text.utf8.count - digits.count <= 2 else { return false }
        return digits.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
    }

    private static let annotations: Set = ["$schema", "$id", "$comment", "title", "description", "examples", "default"]
    private static let supported: Set = [
        "$ref", "$defs", "type", "const", "enum", "required", "properties", "additionalProperties", "items", "minItems",
        "maxItems", "minLength", "maxLength", "pattern", "minimum", "maximum", "oneOf", "anyOf", "allOf",
    ]

    private static func checkKeywords(_ schema: Value, at path: String) throws {
        guard case .object(let rules) = schema else { return }
        for (keyword, rule) in rules {
            let here = "\(path)/\(keyword)"
            switch (keyword, rule) {
            case ("properties", .object(let schemas)), ("$defs", .object(let schemas)):
                for (name, schema) in schemas { try self.checkKeywords(schema, at: "\(here)/\(name)") }
            case ("oneOf", .array(let schemas)), ("anyOf", .array(let schemas)), ("allOf", .array(let schemas)):
                for schema in schemas { try self.checkKeywords(schema, at: here) }
            case ("items", _), ("additionalProperties", _): try self.checkKeywords(rule, at: here)
            default:
                guard self.supported.contains(keyword) || self.annotations.contains(keyword) else {
                    throw SchemaError(description: "\(here): this validator does not know the keyword")
                }
            }
        }
    }
}

// MARK: - JSON values

extension SchemaValidator {
    private indirect enum Value: Hashable, Decodable, Sendable, CustomStringConvertible {
        case object([String: Value])
        case array([Value])
        case string(String)
        case integer(Int64)
        case double(Double)
        case bool(Bool)
        case null

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let value = try? container.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? container.decode(Int64.self) {
                self = .integer(value)
            } else if let value = try? container.decode(Double.self) {
                self = .double(value)
            } else if let value = try? container.decode(String.self) {
                self = .string(value)
            } else if let value = try? container.decode([Value].self) {
                self = .array(value)
            } else {
                self = .object(try container.decode([String: Value].self))
            }
        }

        var number: Double? {
            switch self {
            case .integer(let value): Double(value)
            case .double(let value): value
            case .object, .array, .string, .bool, .null: nil
            }
        }

        func isOf(type: Value) -> Bool {
            guard case .string(let name) = type else { return false }
            switch self {
            case .object: return name == "object"
            case .array: return name == "array"
            case .string: return name == "string"
            case .integer: return name == "integer" || name == "number"
            case .double(let value): return name == "number" || name == "integer" && value == value.rounded()
            case .bool: return name == "boolean"
            case .null: return name == "null"
            }
        }

        var description: String {
            switch self {
            case .object(let members): "object of \(members.count)"
            case .array(let elements): "\(elements)"
            case .string(let text): "\"\(text.prefix(80))\""
            case .integer(let value): "\(value)"
            case .double(let value): "\(value)"
            case .bool(let value): "\(value)"
            case .null: "null"
            }
        }
    }
}
