import NIOCore
import StreamCodecs

/// One parameter of a request, from JSON or from a form, where everything is text.
enum OpenAIParameter {
    case json(JSONNode)
    case text(String)

    func string(_ name: String) throws(SimulatorError) -> String {
        switch self {
        case .text(let text): return text
        case .json(let node):
            guard let text = node.string else { throw self.wrongType(name, "a string") }
            return text
        }
    }

    func integer(_ name: String, _ range: ClosedRange<Int64>) throws(SimulatorError) -> Int {
        let number: Int64?
        switch self {
        case .text(let text): number = Int64(text)
        case .json(let node): number = node.integer
        }
        guard let number else { throw self.wrongType(name, "an integer") }
        guard range.contains(number) else {
            throw SimulatorError(
                400,
                "Invalid '\(name)': integer out of range. Expected a value from \(range.lowerBound) to \(range.upperBound).",
                code: "invalid_value", parameter: name)
        }
        return Int(number)
    }

    func boolean(_ name: String) throws(SimulatorError) -> Bool {
        switch self {
        case .text("true"), .text("1"): return true
        case .text("false"), .text("0"): return false
        case .json(let node):
            if let flag = node.boolean { return flag }
        case .text: break
        }
        throw self.wrongType(name, "a boolean")
    }

    func word(_ name: String, _ allowed: [String]) throws(SimulatorError) -> String {
        let word = try self.string(name)
        guard allowed.contains(word) else {
            throw SimulatorError(
                400, "Invalid value: '\(word.prefix(60))'. Supported values are: \(allowed.joined(separator: ", ")).",
                code: "invalid_value", parameter: name)
        }
        return word
    }

    var isNull: Bool {
        if case .json(let node) = self { return node.isNull }
        return false
    }

    private func wrongType(_ name: String, _ expected: String) -> SimulatorError {
        SimulatorError(
            400, "Invalid type for '\(name)': expected \(expected).", code: "invalid_type", parameter: name)
    }
}
