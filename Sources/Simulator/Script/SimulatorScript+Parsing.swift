/// Why a script cannot be understood.
package struct SimulatorScriptProblem: Error, Equatable, Sendable {
    package let message: String
}

extension SimulatorScript {
    private typealias Setter = @Sendable (inout SimulatorScript, ScriptValue) throws(SimulatorScriptProblem) -> Void

    /// Every key, in the order of the manual.
    package static var keys: [String] { self.setters.map(\.key) }

    /// Takes over the settings in `text`: `key=value` or `key` alone, separated by white space, `;` or `,`.
    package mutating func apply(_ text: some StringProtocol) throws(SimulatorScriptProblem) {
        for word in text.split(whereSeparator: { $0.isWhitespace || $0 == ";" || $0 == "," }) {
            let sides = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let key = String(sides[0])
            guard let setter = Self.setters.first(where: { $0.key == key })?.set else {
                throw SimulatorScriptProblem(
                    message: "Unknown simulator key '\(key.prefix(40))'. Known keys: "
                        + Self.keys.joined(separator: ", ") + ".")
            }
            try setter(&self, ScriptValue(key: key, text: sides.count > 1 ? String(sides[1]) : nil))
        }
    }

    /// Cuts every `[sim …]` out of a prompt and takes over what they say.
    /// - Returns: the prompt that is left, trimmed.
    package mutating func apply(directivesIn prompt: String) throws(SimulatorScriptProblem) -> String {
        var rest = Substring(prompt)
        var left = ""
        while let start = rest.firstRange(of: "[sim"), let end = rest[start.upperBound...].firstIndex(of: "]") {
            let body = rest[start.upperBound..<end]
            guard body.isEmpty || body.first?.isWhitespace == true else {
                left += rest[..<start.upperBound]
                rest = rest[start.upperBound...]
                continue
            }
            left += rest[..<start.lowerBound]
            try self.apply(body)
            rest = rest[rest.index(after: end)...]
        }
        left += rest
        let words = left.drop(while: \.isWhitespace)
        guard let last = words.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(words[...last])
    }

    private static let setters: [(key: String, set: Setter)] = [
        ("profile", { (script, value) throws(SimulatorScriptProblem) in script.use(try value.word(Profile.self)) }),
        ("duration", { (script, value) throws(SimulatorScriptProblem) in script.duration = try value.duration() }),
        ("previews", { (script, value) throws(SimulatorScriptProblem) in script.previews = try value.number(0...3) }),
        ("first_byte", { (script, value) throws(SimulatorScriptProblem) in script.firstByte = try value.duration() }),
        ("queue", { (script, value) throws(SimulatorScriptProblem) in script.queue = try value.duration() }),
        (
            "position",
            { (script, value) throws(SimulatorScriptProblem) in script.position = try value.number(0...9999) }
        ),
        ("payload", { (script, value) throws(SimulatorScriptProblem) in script.payload = try value.size() }),
        ("status", { (script, value) throws(SimulatorScriptProblem) in script.status = try value.number(400...599) }),
        ("retry_after", { (script, value) throws(SimulatorScriptProblem) in script.retryAfter = try value.duration() }),
        (
            "refuse",
            { (script, value) throws(SimulatorScriptProblem) in script.refuse = try value.choice(absent: .head) }
        ),
        ("stall", { (script, value) throws(SimulatorScriptProblem) in script.stall = try value.stall() }),
        ("truncate", { (script, value) throws(SimulatorScriptProblem) in script.truncate = try value.truncation() }),
        (
            "malformed",
            { (script, value) throws(SimulatorScriptProblem) in script.malformed = try value.word(Malformation.self) }
        ),
        ("no_terminal", { (script, value) throws(SimulatorScriptProblem) in script.noTerminal = try value.flag() }),
        ("early_final", { (script, value) throws(SimulatorScriptProblem) in script.earlyFinal = try value.flag() }),
        ("unknown_event", { (script, value) throws(SimulatorScriptProblem) in script.unknownEvent = try value.flag() }),
        ("chunk", { (script, value) throws(SimulatorScriptProblem) in script.chunk = try value.number(1...65536) }),
        (
            "fail",
            { (script, value) throws(SimulatorScriptProblem) in script.fail = try value.choice(absent: .nested) }
        ),
        (
            "seed",
            { (script, value) throws(SimulatorScriptProblem) in
                script.seed = UInt64(try value.number(0...Int(Int64.max)))
            }
        ),
    ]
}

/// The right side of `key=value`.
private struct ScriptValue {
    let key: String
    let text: String?

    private func problem(_ expected: String) -> SimulatorScriptProblem {
        let found = self.text.map { "'\($0.prefix(40))'" } ?? "nothing"
        return SimulatorScriptProblem(message: "Simulator key '\(self.key)': expected \(expected), found \(found).")
    }

    func number(_ range: ClosedRange<Int>) throws(SimulatorScriptProblem) -> Int {
        guard let number = self.text.flatMap({ Int($0) }), range.contains(number) else {
            throw self.problem("a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func flag() throws(SimulatorScriptProblem) -> Bool {
        switch self.text {
        case nil, "true", "1": return true
        case "false", "0": return false
        default: throw self.problem("true or false")
        }
    }

    func word<Word: RawRepresentable & CaseIterable>(_ type: Word.Type) throws(SimulatorScriptProblem) -> Word
    where Word.RawValue == String {
        guard let word = self.text.flatMap(Word.init(rawValue:)) else {
            throw self.problem("one of " + Word.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return word
    }

    /// A word, `true` for the usual one, or `false` for none.
    func choice<Word: RawRepresentable & CaseIterable>(absent: Word) throws(SimulatorScriptProblem) -> Word?
    where Word.RawValue == String {
        switch self.text {
        case nil, "true": return absent
        case "false": return nil
        default: return try self.word(Word.self)
        }
    }

    /// A number with its unit, up to a day.
    func duration() throws(SimulatorScriptProblem) -> Duration {
        let units: [(name: String, milliseconds: Double)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        if self.text == "0" { return .zero }
        for unit in units {
            guard let text = self.text, text.hasSuffix(unit.name) else { continue }
            guard let number = Double(text.dropLast(unit.name.count)), number >= 0, number.isFinite else { continue }
            let milliseconds = number * unit.milliseconds
            guard milliseconds <= 86_400_000 else { break }
            return .milliseconds(Int(milliseconds.rounded()))
        }
        throw self.problem("a duration with its unit, such as 300ms, 4s or 2m, up to 24h")
    }

    /// Bytes, bare or in KiB and MiB, up to 64 MiB.
    func size() throws(SimulatorScriptProblem) -> Int {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1), ("", 1)]
        for (name, factor) in units {
            guard let text = self.text, text.hasSuffix(name), let number = Int(text.dropLast(name.count)) else {
                continue
            }
            let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
            guard !overflow, (0...(64 << 20)).contains(bytes) else { break }
            return bytes
        }
        throw self.problem("a size such as 65536, 512KiB or 8MiB, up to 64MiB")
    }

    func stall() throws(SimulatorScriptProblem) -> SimulatorScript.Stall {
        switch self.text {
        case "head": return .head
        case "mid": return .mid
        default:
            guard let text = self.text, text.hasPrefix("after_preview_"), let index = Int(text.dropFirst(14)),
                (0...2).contains(index)
            else { throw self.problem("head, mid, or after_preview_0 to after_preview_2") }
            return .afterPreview(index)
        }
    }

    func truncation() throws(SimulatorScriptProblem) -> SimulatorScript.Truncation {
        let text = self.text ?? ""
        if text.hasPrefix("event_"), let index = Int(text.dropFirst(6)), (0...9999).contains(index) {
            return .event(index)
        }
        guard let bytes = Int(text), bytes >= 0 else { throw self.problem("a number of bytes, or event_N") }
        return .bytes(bytes)
    }
}
