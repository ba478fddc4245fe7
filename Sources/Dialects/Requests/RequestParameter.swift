import ImageGeneration
import NIOCore
import StreamCodecs

/// One named value of a create request. Forms carry numbers and booleans as text, so each reader takes both spellings.
struct RequestParameter {
    let name: String
    let value: Value

    enum Value {
        case json(JSONNode)
        case text(String)
    }

    /// Text of at most `maximumCount` Unicode scalars.
    func string(maximumCount: Int) throws(GatewayError) -> String {
        let text: String
        switch self.value {
        case .text(let value): text = value
        case .json(let node):
            // An escaped scalar takes at most twelve bytes: look at the length before a long value is copied.
            guard node.kind == .string else { throw self.wrongType("a string", node) }
            guard node.range.count <= maximumCount * 12 + 2 else { throw self.tooLong(maximumCount) }
            text = node.string ?? ""
        }
        guard text.unicodeScalars.count <= maximumCount else { throw self.tooLong(maximumCount) }
        return text
    }

    /// The value as JSON, which a form carries as text; nil where it is none.
    var jsonValue: JSONNode? {
        switch self.value {
        case .json(let node): node
        case .text(let text): try? JSONDocument(ByteBuffer(string: text)).root
        }
    }

    func integer(_ range: ClosedRange<Int64>) throws(GatewayError) -> Int64 {
        let number: Int64?
        switch self.value {
        case .text(let value): number = Int64(value)
        case .json(let node):
            guard node.kind == .number else { throw self.wrongType("an integer", node) }
            number = node.integer
        }
        guard let number else { throw self.invalid("must be an integer") }
        guard range.contains(number) else {
            throw self.invalid("must be from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func boolean() throws(GatewayError) -> Bool {
        switch self.value {
        case .text("true"), .text("True"), .text("1"): return true
        case .text("false"), .text("False"), .text("0"): return false
        case .text: throw self.invalid("must be true or false")
        case .json(let node):
            guard let value = node.boolean else { throw self.wrongType("true or false", node) }
            return value
        }
    }

    /// A word of the list, matched as it is.
    func choice(_ words: [String]) throws(GatewayError) -> String {
        let word = try self.string(maximumCount: 64)
        guard words.contains(word) else {
            let hint = NearestName.of(word, among: words).map { "; did you mean \"\($0)\"?" } ?? ""
            throw self.invalid("must be one of \(words.joined(separator: ", "))\(hint)")
        }
        return word
    }

    /// A short name an upstream understands: visible ASCII, 1 to `maximumCount` characters.
    func word(maximumCount: Int = 64) throws(GatewayError) -> String {
        let word = try self.string(maximumCount: maximumCount)
        guard !word.isEmpty, word.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw self.invalid("must be 1 to \(maximumCount) visible ASCII characters")
        }
        return word
    }

    func invalid(_ reason: String) -> GatewayError {
        GatewayError(
            .invalidParameter, "\(self.name): \(reason).", parameter: self.name, position: self.position)
    }

    func unsupported(_ reason: String) -> GatewayError {
        GatewayError(
            .unsupportedParameter, "\(self.name): \(reason).", parameter: self.name, position: self.position)
    }

    private var position: (line: Int, column: Int)? {
        guard case .json(let node) = self.value else { return nil }
        return node.position
    }

    private func wrongType(_ expected: String, _ node: JSONNode) -> GatewayError {
        let found =
            switch node.kind {
            case .object: "an object"
            case .array: "an array"
            case .string: "a string"
            case .number: "a number"
            case .boolean: "a boolean"
            case .null: "null"
            }
        return self.invalid("must be \(expected), not \(found)")
    }

    private func tooLong(_ maximumCount: Int) -> GatewayError {
        self.invalid("must be at most \(maximumCount) characters")
    }
}
