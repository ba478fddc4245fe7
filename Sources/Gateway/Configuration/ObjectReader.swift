/// The keys of one kind of object in `routes.json`: the single list that the reader, the messages and the tests of the
/// published schema go by.
package protocol ConfigurationKey: RawRepresentable<String>, CaseIterable, Hashable, Sendable {
    /// Keys of features that this release does not have. Their form is checked, then they are refused as not available
    /// yet.
    static var later: [Self: LaterForm] { get }
}

extension ConfigurationKey {
    package static var later: [Self: LaterForm] { [:] }
}

/// Part of the mirror of the file that is written as an object.
protocol ConfigurationObject: Sendable {
    associatedtype Key: ConfigurationKey
    init(_ reader: ObjectReader<Key>)
}

/// Reads one object: reports keys that are unknown or not available yet, hands out the values of the others.
struct ObjectReader<Key: ConfigurationKey> {
    let value: ConfigurationValue
    /// Keys that are there, whatever became of their values.
    let present: Set<Key>
    private let values: [Key: ConfigurationValue]

    /// - Parameter refused: keys that this object may not have although its kind does.
    /// - Returns: nil, after a report, when the value is no object.
    init?(_ value: ConfigurationValue, refused: Set<Key> = []) {
        guard let members = value.members() else { return nil }
        let allowed = Key.allCases.filter { !refused.contains($0) }
        var present: Set<Key> = []
        var values: [Key: ConfigurationValue] = [:]
        for (name, place, member) in members {
            guard let key = Key(rawValue: name), !refused.contains(key) else {
                let suggestion = ConfigurationText.suggestion(for: name, among: allowed.map(\.rawValue))
                let message = "unknown key \(ConfigurationText.quoted(name))\(suggestion)"
                value.source.report(ConfigurationProblem(.error, at: place, message))
                continue
            }
            present.insert(key)
            guard let form = Key.later[key] else {
                values[key] = member
                continue
            }
            if form.check(member) {
                value.source.report(ConfigurationProblem(.error, at: place, "\"\(name)\" is not available yet"))
            }
        }
        self.value = value
        self.present = present
        self.values = values
    }

    /// The key's value, or nil where it is absent or refused.
    func read<Value>(_ key: Key, _ form: ValueForm<Value>) -> Located<Value>? {
        guard let value = self.values[key] else { return nil }
        return form.read(value).map { Located($0, at: value.place) }
    }

    /// As ``read(_:_:)``, and reports the key where it is missing.
    func require<Value>(_ key: Key, _ form: ValueForm<Value>) -> Located<Value>? {
        if !self.present.contains(key) {
            self.value.source.report(
                ConfigurationProblem(
                    .error, at: self.place(of: key), "missing key \"\(key.rawValue)\"; expected \(form.expected)"))
        }
        return self.read(key, form)
    }

    /// Where the key's value stands, or where the object begins when it has none.
    func place(of key: Key) -> ConfigurationPlace {
        if let value = self.values[key] { return value.place }
        let start = self.value.place
        let path = self.value.path + ConfigurationText.pathStep(key.rawValue)
        return ConfigurationPlace(path: path, line: start.line, column: start.column)
    }
}
