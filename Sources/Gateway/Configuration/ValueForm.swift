import StreamCodecs

/// What a value must look like, and how it is read. `read` reports what it refuses.
struct ValueForm<Value: Sendable>: Sendable {
    /// In words, to follow "expected".
    let expected: String
    let read: @Sendable (ConfigurationValue) -> Value?

    init(expected: String, read: @escaping @Sendable (ConfigurationValue) -> Value?) {
        self.expected = expected
        self.read = read
    }

    /// A value that `parse` turns into one or into nil.
    init(_ expected: String, parse: @escaping @Sendable (ConfigurationValue) -> Value?) {
        self.init(expected: expected) { value in
            if let parsed = parse(value) { return parsed }
            value.report(expected: expected)
            return nil
        }
    }
}

extension ValueForm {
    /// `"key": [value, …]`; a list shorter than `minimum` is refused.
    static func list<Element>(of element: ValueForm<Element>, minimum: Int = 0) -> ValueForm<[Located<Element>]> {
        ValueForm<[Located<Element>]>(expected: "a list of \(element.expected)") { value in
            guard let elements = value.elements() else { return nil }
            if elements.count < minimum {
                value.report("expected at least \(minimum) of \(element.expected), found an empty list")
            }
            return elements.compactMap { one in element.read(one).map { Located($0, at: one.place) } }
        }
    }

    /// `"key": {"name": value, …}`, in the order of the file.
    static func named<Element>(_ element: ValueForm<Element>) -> ValueForm<[NamedEntry<Element>]> {
        ValueForm<[NamedEntry<Element>]>(expected: "an object of \(element.expected) by name") { value in
            value.members()?.map { name, place, member in
                if !name.isConfigurationName {
                    let expected = "expected a name of at most 64 letters, digits, \".\", \"_\" and \"-\""
                    value.source.report(
                        ConfigurationProblem(.error, at: place, "\(expected), found \(ConfigurationText.quoted(name))"))
                }
                return NamedEntry(name: name, place: place, value: element.read(member))
            }
        }
    }
}

extension ValueForm where Value: ConfigurationObject {
    static func object(_ type: Value.Type, refused: Set<Value.Key> = []) -> Self {
        ValueForm(expected: "an object") { value in ObjectReader<Value.Key>(value, refused: refused).map(Value.init) }
    }
}

extension ValueForm where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of the type's words. Those of `later` are refused as not available yet.
    static func choice(_ type: Value.Type, later: [String] = []) -> Self {
        let words = Value.allCases.map(\.rawValue)
        let expected = ConfigurationText.alternatives(words.map { "\"\($0)\"" })
        return ValueForm(expected: expected) { value in
            if let word = value.node.string, let choice = Value(rawValue: word) { return choice }
            if let word = value.node.string, later.contains(word) {
                value.report("\"\(word)\" is not available yet; expected \(expected)")
            } else {
                let hint = ConfigurationText.suggestion(for: value.node.string ?? "", among: words)
                value.report("expected \(expected), found \(value.found)\(hint)")
            }
            return nil
        }
    }
}

extension ValueForm<JSONNode> {
    /// An object that somebody else looks into.
    static var anyObject: Self {
        ValueForm("an object") { $0.node.kind == .object ? $0.node : nil }
    }
}

extension ValueForm<Bool> {
    static var boolean: Self {
        ValueForm("true or false") { $0.node.boolean }
    }
}

extension ValueForm<Int64> {
    static var int64: Self {
        ValueForm("a whole number") { $0.node.integer }
    }
}

extension ValueForm<Double> {
    static var number: Self {
        ValueForm("a number of at least 0") { value in value.node.double.flatMap { $0 >= 0 ? $0 : nil } }
    }
}

extension ValueForm<Int> {
    static func integer(in bounds: ClosedRange<Int>) -> Self {
        ValueForm("a whole number from \(bounds.lowerBound) to \(bounds.upperBound)") { value in
            value.node.integer.flatMap { Int(exactly: $0) }.flatMap { bounds.contains($0) ? $0 : nil }
        }
    }

    /// Bytes.
    static func size(in bounds: ClosedRange<Int>) -> Self {
        let (least, most) = (bounds.lowerBound, bounds.upperBound)
        let range = "from \(ConfigurationUnits.text(bytes: least)) to \(ConfigurationUnits.text(bytes: most))"
        return ValueForm("a size such as \"8MiB\", \(range)") { value in
            value.node.string.flatMap(ConfigurationUnits.size).flatMap { bounds.contains($0) ? $0 : nil }
        }
    }
}

extension ValueForm<Duration> {
    static func duration(in bounds: ClosedRange<Duration>) -> Self {
        let range =
            "from \(ConfigurationUnits.text(bounds.lowerBound)) to \(ConfigurationUnits.text(bounds.upperBound))"
        return ValueForm("a duration such as \"30s\", \(range)") { value in
            value.node.string.flatMap(ConfigurationUnits.duration).flatMap { bounds.contains($0) ? $0 : nil }
        }
    }
}

extension ValueForm<RequestRate> {
    static var rate: Self {
        ValueForm("a rate such as \"30/min\" (of /s, /min, /hour, /day)") { value in
            value.node.string.flatMap(ConfigurationUnits.rate)
        }
    }
}

/// An entry of an object whose keys are names. `value` is nil where it was refused.
package struct NamedEntry<Value: Sendable>: Sendable {
    package let name: String
    package let place: ConfigurationPlace
    package let value: Value?
}
