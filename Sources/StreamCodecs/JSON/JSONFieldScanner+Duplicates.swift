// Duplicate keys. A later value of a key drops what was found below the earlier one. That is noted as a cut and done
// once at the end: dropping at once would let a hostile document make the scanner walk its findings again for every
// key.

extension JSONFieldScanner {
    /// Of the fields `from ..< to`, those at `node` and below it are overridden. The cuts of one node either share
    /// `from` (same object) or do not overlap; they are ordered by `to`.
    struct Cut: Sendable {
        var node: Int
        var from: Int
        var to: Int
    }

    /// The value that begins now overrides what its node found since `from`.
    mutating func cut(from: Int) {
        let to = self.found.count
        guard to > from else { return }
        if let last = self.cuts.last, last.node == self.node, last.from == from {
            self.cuts[self.cuts.count - 1].to = to
        } else if self.cuts.count < self.maximumFields {
            self.cuts.append(Cut(node: self.node, from: from, to: to))
        } else {
            self.fail(.tooManyValues(limit: self.maximumFields))
        }
    }

    /// One walk backward over fields and cuts.
    mutating func dropOverridden() {
        guard !self.cuts.isEmpty else { return }
        var openFrom = Array(repeating: Int.max, count: self.paths.nodes.count)
        var kept: [JSONField] = []
        for index in self.found.indices.reversed() {
            while let cut = self.cuts.last, cut.to > index {
                openFrom[cut.node] = cut.from
                self.cuts.removeLast()
            }
            let field = self.found[index]
            if !self.isOverridden(self.paths.ends[field.path], index, openFrom) { kept.append(field) }
        }
        self.found = kept.reversed()
        self.cuts.removeAll()
    }

    private func isOverridden(_ node: Int, _ index: Int, _ openFrom: [Int]) -> Bool {
        var node = node
        while node >= 0 {
            if openFrom[node] <= index { return true }
            node = self.paths.nodes[node].parent
        }
        return false
    }
}
