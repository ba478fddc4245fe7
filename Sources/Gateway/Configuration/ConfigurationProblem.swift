/// Something wrong, or worth knowing, in `routes.json`.
package struct ConfigurationProblem: Hashable, Sendable {
    package let severity: Severity
    package let place: ConfigurationPlace
    /// One line: what was found and what was expected. Never holds a secret or a control character.
    package let message: String

    package init(_ severity: Severity, at place: ConfigurationPlace, _ message: String) {
        self.severity = severity
        self.place = place
        self.message = message
    }

    package enum Severity: String, Sendable {
        /// The file cannot be used.
        case error
        /// The file works, perhaps not as hoped.
        case warning
    }

    /// `routes.json:12:17: error: $.routes[0].timout: unknown key "timout"; did you mean "timeouts"?`
    package func rendered(file: String) -> String {
        let place = self.place
        return "\(file):\(place.line):\(place.column): \(self.severity.rawValue): \(place.path): \(self.message)"
    }
}

/// A spot in `routes.json`.
package struct ConfigurationPlace: Hashable, Sendable {
    /// `$.routes[0].timeouts.idle`; a key that is no plain word is written `['my key']`.
    package let path: String
    /// From 1.
    package let line: Int
    /// From 1, in Unicode scalars.
    package let column: Int

    package init(path: String, line: Int, column: Int) {
        self.path = path
        self.line = line
        self.column = column
    }
}

/// A value of the file and where it stands.
package struct Located<Value: Sendable>: Sendable {
    package let value: Value
    package let place: ConfigurationPlace

    package init(_ value: Value, at place: ConfigurationPlace) {
        self.value = value
        self.place = place
    }
}

extension Located: Equatable where Value: Equatable {}

extension [ConfigurationProblem] {
    package var hasErrors: Bool { self.contains { $0.severity == .error } }

    /// Every problem on a line of its own, in the order of the file.
    package func rendered(file: String) -> String {
        self.map { $0.rendered(file: file) + "\n" }.joined()
    }

    /// In the order of the file, each once.
    func sortedByPlace() -> [ConfigurationProblem] {
        var seen: Set<ConfigurationProblem> = []
        let unique = self.filter { seen.insert($0).inserted }
        return unique.enumerated().sorted { left, right in
            let (a, b) = (left.element.place, right.element.place)
            return (a.line, a.column, left.offset) < (b.line, b.column, right.offset)
        }.map(\.element)
    }
}
