import NIOCore
import StreamCodecs

/// Reads members of a definition; every complaint names the member. Of several layers the first that has a member counts,
/// and `null` there takes the member away.
struct DefinitionReader {
    let layers: [JSONNode]
    let path: String

    init(_ layers: [JSONNode], path: String) {
        self.layers = layers
        self.path = path
    }

    func problem(_ key: String?, _ message: String) -> ProviderConfigurationProblem {
        ProviderConfigurationProblem(key: key.map { "\(self.path).\($0)" } ?? self.path, message: message)
    }

    func check(keys known: [String]) throws(ProviderConfigurationProblem) {
        for layer in self.layers {
            guard layer.kind == .object else { throw self.problem(nil, "expected an object") }
            if let unknown = layer.members.first(where: { !known.contains($0.key) }) {
                throw self.problem(
                    String(unknown.key.prefix(64)), "unknown key; known are \(known.sorted().joined(separator: ", "))")
            }
        }
    }

    func node(_ key: String) -> JSONNode? {
        self.layers.lazy.compactMap { $0[key] }.first.flatMap { $0.isNull ? nil : $0 }
    }

    /// The member of every layer that has it, up to one that takes it away.
    func nodes(_ key: String) -> [JSONNode] {
        var nodes: [JSONNode] = []
        for node in self.layers.compactMap({ $0[key] }) {
            if node.isNull { break }
            nodes.append(node)
        }
        return nodes
    }

    /// Of an object whose keys are names.
    func memberKeys() throws(ProviderConfigurationProblem) -> [String] {
        guard let object = self.layers.first, object.kind == .object else {
            throw self.problem(nil, "expected an object")
        }
        return object.members.map(\.key)
    }

    func object(_ key: String) -> DefinitionReader? {
        self.node(key).map { DefinitionReader([$0], path: "\(self.path).\(key)") }
    }

    func string(_ key: String) throws(ProviderConfigurationProblem) -> String? {
        guard let node = self.node(key) else { return nil }
        guard let text = node.string else { throw self.problem(key, "expected a string") }
        return text
    }

    /// One string, or a list of them.
    func strings(_ key: String) throws(ProviderConfigurationProblem) -> [String] {
        guard let node = self.node(key) else { return [] }
        if let text = node.string { return [text] }
        let texts = node.elements.compactMap(\.string)
        guard node.kind == .array, texts.count == node.elements.count else {
            throw self.problem(key, "expected a string or a list of strings")
        }
        return texts
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(ProviderConfigurationProblem) -> Int? {
        guard let node = self.node(key) else { return nil }
        guard let number = node.integer.flatMap({ Int(exactly: $0) }), range.contains(number) else {
            throw self.problem(key, "expected a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func positive(_ key: String) throws(ProviderConfigurationProblem) -> Double? {
        guard let node = self.node(key) else { return nil }
        guard let number = node.double, number > 0, number.isFinite else {
            throw self.problem(key, "expected a number above 0")
        }
        return number
    }

    /// `"500ms"`, `"2s"`, `"1m"` in milliseconds.
    func duration(_ key: String) throws(ProviderConfigurationProblem) -> Int? {
        guard let text = try self.string(key) else { return nil }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let units = ["ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000]
        guard let number = Int(digits), number > 0, number <= 86_400_000,
            let unit = units[String(text.dropFirst(digits.count))]
        else { throw self.problem(key, "expected a duration such as \"500ms\" or \"2s\"") }
        return number * unit
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, of: Choice.Type
    ) throws(ProviderConfigurationProblem) -> Choice? {
        guard let text = try self.string(key) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw self.problem(
                key, "expected one of \(Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))")
        }
        return choice
    }
}

/// Gathers paths into replies and gives each its index.
struct ReplyPathTable {
    private(set) var paths: [String] = []

    mutating func index(
        of path: String, in reader: DefinitionReader, key: String
    ) throws(ProviderConfigurationProblem) -> Int {
        let steps = path.split(separator: ".", omittingEmptySubsequences: false)
        guard !steps.contains(where: \.isEmpty), path.utf8.count <= 256, steps.filter({ $0 == "*" }).count <= 2 else {
            throw reader.problem(
                key, "expected member names joined by dots, with at most two * for the elements of arrays")
        }
        if let known = self.paths.firstIndex(of: path) { return known }
        self.paths.append(path)
        return self.paths.count - 1
    }

    mutating func indexes(_ reader: DefinitionReader?, _ key: String) throws(ProviderConfigurationProblem) -> [Int] {
        guard let reader else { return [] }
        var indexes: [Int] = []
        for path in try reader.strings(key) { indexes.append(try self.index(of: path, in: reader, key: key)) }
        return indexes
    }

    mutating func single(_ reader: DefinitionReader, _ key: String) throws(ProviderConfigurationProblem) -> Int? {
        guard let path = try reader.string(key) else { return nil }
        return try self.index(of: path, in: reader, key: key)
    }
}
