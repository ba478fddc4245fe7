/// What a `JSONFieldScanner` found in one document: the values alone, cheap to hand on.
package struct JSONFindings: Sendable {
    /// The wanted values that are complete, ordered by where they begin.
    package let fields: [JSONField]
    private let paths: JSONFieldPaths

    init(_ fields: [JSONField], paths: JSONFieldPaths) {
        self.fields = fields
        self.paths = paths
    }

    /// The last value of the path: the one that counts.
    package func last(_ path: Int) -> JSONField? {
        let path = self.paths.canonical(path)
        return self.fields.last { $0.path == path }
    }

    /// A bit for each of the first 32 paths that has a value; a path that repeats an earlier one counts under the earlier.
    package var presentPaths: UInt32 {
        var bits: UInt32 = 0
        for field in self.fields where field.path < 32 { bits |= 1 << UInt32(field.path) }
        return bits
    }

    /// All values of the path, which are several where it has a `*`.
    package func all(_ path: Int) -> [JSONField] {
        let path = self.paths.canonical(path)
        return self.fields.filter { $0.path == path }
    }
}
