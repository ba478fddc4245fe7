import NIOCore
import StreamCodecs

/// The text of the file while it is read: finds line and column of an offset, and gathers the problems.
/// Lives during one reading, on one thread.
final class ConfigurationSource {
    private let bytes: ByteBuffer
    /// Offsets at which lines begin.
    private let lineStarts: [Int]
    /// Unicode scalars before every 256th byte, so that a place costs little even in a file of one line.
    private let scalarCounts: [Int]
    private(set) var problems: [ConfigurationProblem] = []

    private static let block = 256

    init(_ bytes: ByteBuffer) {
        var lineStarts = [0]
        var scalarCounts: [Int] = []
        var scalars = 0
        for (offset, byte) in bytes.readableBytesView.enumerated() {
            if offset % Self.block == 0 { scalarCounts.append(scalars) }
            if byte & 0xC0 != 0x80 { scalars += 1 }
            if byte == 0x0A { lineStarts.append(offset + 1) }
        }
        self.bytes = bytes
        self.lineStarts = lineStarts
        self.scalarCounts = scalarCounts
    }

    func place(path: String, offset: Int) -> ConfigurationPlace {
        var (low, high) = (0, self.lineStarts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if self.lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        let column = self.scalars(before: offset) - self.scalars(before: self.lineStarts[low])
        return ConfigurationPlace(path: path, line: low + 1, column: column + 1)
    }

    func report(_ problem: ConfigurationProblem) {
        self.problems.append(problem)
    }

    private func scalars(before offset: Int) -> Int {
        let block = min(offset / Self.block, self.scalarCounts.count - 1)
        guard block >= 0 else { return 0 }
        let view = self.bytes.readableBytesView
        let start = view.startIndex + block * Self.block
        let end = min(view.startIndex + offset, view.endIndex)
        return self.scalarCounts[block] + view[start..<max(start, end)].reduce(0) { $0 + ($1 & 0xC0 != 0x80 ? 1 : 0) }
    }
}

/// One value of the file and the way to it.
struct ConfigurationValue {
    let node: JSONNode
    let path: String
    let source: ConfigurationSource

    var place: ConfigurationPlace { self.source.place(path: self.path, offset: self.node.range.lowerBound) }

    func report(_ message: String, _ severity: ConfigurationProblem.Severity = .error) {
        self.source.report(ConfigurationProblem(severity, at: self.place, message))
    }

    func report(expected: String) {
        self.report("expected \(expected), found \(self.found)")
    }

    func element(_ index: Int, _ node: JSONNode) -> ConfigurationValue {
        ConfigurationValue(node: node, path: "\(self.path)[\(index)]", source: self.source)
    }

    func member(_ key: String, _ node: JSONNode) -> ConfigurationValue {
        ConfigurationValue(node: node, path: self.path + ConfigurationText.pathStep(key), source: self.source)
    }

    /// The elements of an array; reports anything else.
    func elements() -> [ConfigurationValue]? {
        guard self.node.kind == .array else {
            self.report(expected: "a list")
            return nil
        }
        return self.node.elements.enumerated().map { self.element($0.offset, $0.element) }
    }

    /// The members of an object with the places of their keys; reports anything else.
    func members() -> [(key: String, place: ConfigurationPlace, value: ConfigurationValue)]? {
        guard self.node.kind == .object else {
            self.report(expected: "an object")
            return nil
        }
        return self.node.members.map { member in
            let value = self.member(member.key, member.value)
            return (member.key, self.source.place(path: value.path, offset: member.keyRange.lowerBound), value)
        }
    }

    /// What stands there, in words.
    var found: String {
        switch self.node.kind {
        case .object: "an object"
        case .array: "a list"
        case .null: "null"
        case .boolean: self.node.boolean == true ? "true" : "false"
        case .number: self.node.double.map { "the number \(self.node.integer?.description ?? "\($0)")" } ?? "a number"
        case .string: ConfigurationText.quoted(self.node.string ?? "")
        }
    }
}
