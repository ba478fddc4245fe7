/// Finds the known name a mistyped one most likely stands for.
enum NearestName {
    /// Names longer than this are not compared: a caller's text must not decide how long we think.
    private static let maximumBytes = 48

    /// The closest of `known`, or nil where none is near: at most one edit for each three bytes of the name.
    static func of(_ name: String, among known: [String]) -> String? {
        let bytes = Array(name.utf8)
        guard !bytes.isEmpty, bytes.count <= self.maximumBytes else { return nil }
        let limit = max(1, bytes.count / 3)
        var best: (name: String, distance: Int)?
        for candidate in known {
            let distance = self.distance(bytes, Array(candidate.utf8))
            if distance <= limit, distance < best?.distance ?? Int.max { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Edits between two names, a swap of neighbours counted as one (optimal string alignment).
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast = [Int](repeating: 0, count: right.count + 1)
        var last = Array(0...right.count)
        for (row, a) in left.enumerated() {
            var current = [row + 1]
            for (column, b) in right.enumerated() {
                var cost = min(last[column + 1] + 1, current[column] + 1, last[column] + (a == b ? 0 : 1))
                if row > 0, column > 0, a == right[column - 1], left[row - 1] == b {
                    cost = min(cost, beforeLast[column - 1] + 1)
                }
                current.append(cost)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}
