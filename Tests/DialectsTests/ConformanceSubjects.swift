import Dialects

/// What the conformance suite walks: the registry, and a dialect of the tests' own which shows that a new one is picked up.
enum ConformanceSubjects {
    static let dialects: [any Dialect] =
        DialectRegistry.dialects + [
            PostcardDialect()
        ]

    static func dialect(named name: String) -> (any Dialect)? { self.dialects.first { $0.name == name } }
}
