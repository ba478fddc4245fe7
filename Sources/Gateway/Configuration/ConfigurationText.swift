/// Text of the file as it may be shown: no control characters, no end.
enum ConfigurationText {
    /// In double quotes, control characters and quotes escaped, cut to `limit` scalars.
    static func quoted(_ text: String, limit: Int = 60) -> String {
        var shown = "\""
        for (index, scalar) in text.unicodeScalars.enumerated() {
            guard index < limit else { return shown + "…\"" }
            shown += self.escaped(scalar)
        }
        return shown + "\""
    }

    /// Whole and without quotes, control characters escaped.
    static func visible(_ text: String) -> String {
        text.unicodeScalars.map(self.escaped).joined()
    }

    /// `a`, `a or b`, `a, b or c`.
    static func alternatives(_ words: [String]) -> String {
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " or " + last
    }

    /// One step of a JSON path.
    static func pathStep(_ key: String) -> String {
        let plain =
            key.utf8.allSatisfy { Self.isWord($0) } && key.utf8.first.map { !(0x30...0x39).contains($0) } == true
        return plain ? ".\(key)" : "['\(self.quoted(key).dropFirst().dropLast())']"
    }

    /// `name` or the nearest of `known` when it is likely a slip.
    static func suggestion(for name: String, among known: some Sequence<String>) -> String {
        let limit = max(2, name.unicodeScalars.count / 3)
        guard name.utf8.count <= 64 else { return "" }
        let nearest = known.map { ($0, self.distance(name, $0)) }.min { $0.1 < $1.1 }
        guard let (word, distance) = nearest, distance <= limit, distance < word.unicodeScalars.count else { return "" }
        return "; did you mean \(self.quoted(word))?"
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
    static func distance(_ left: String, _ right: String) -> Int {
        let (a, b) = (Array(left.unicodeScalars), Array(right.unicodeScalars))
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var rows = [Array(0...b.count)]
        for i in 1...a.count {
            var row = [i]
            for j in 1...b.count {
                var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { best = min(best, rows[i - 2][j - 2] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }

    /// Whether the byte may stand in a name: `A-Za-z0-9._-`, of which only `_` and the alphanumerics are a word's.
    static func isName(_ byte: UInt8) -> Bool { Self.isWord(byte) || byte == 0x2D || byte == 0x2E }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F: true
        default: false
        }
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\"", "\\": return "\\\(scalar)"
        case "\n": return "\\n"
        case "\t": return "\\t"
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate:
            return "\\u{\(String(scalar.value, radix: 16))}"
        default:
            return String(scalar)
        }
    }
}
