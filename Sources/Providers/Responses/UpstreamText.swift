/// Makes text from an upstream safe to show to a client: bounded, one line, no control characters, no markup, no
/// link, host or key.
enum UpstreamText {
    /// Unicode scalars kept of a message.
    static let maximumLength = 300
    private static let maximumScanned = 4096

    /// Nil where nothing worth showing is left, or the text is markup.
    /// - Parameter secret: removed wherever it occurs.
    static func clean(_ text: String?, hiding secret: String? = nil) -> String? {
        guard let text else { return nil }
        let scalars = text.unicodeScalars.prefix(self.maximumScanned)
        guard !self.looksLikeMarkup(scalars) else { return nil }
        var words: [String] = []
        var length = 0
        var followsScheme = false
        for word in scalars.split(whereSeparator: self.isSeparator) {
            let word = String(Substring(word))
            let shown = self.redacted(word, followsScheme: followsScheme, secret: secret)
            followsScheme = ["bearer", "basic", "key"].contains(word.lowercased())
            length += shown.unicodeScalars.count + 1
            words.append(shown)
            if length > self.maximumLength { break }
        }
        let joined = words.joined(separator: " ")
        guard !joined.isEmpty else { return nil }
        guard joined.unicodeScalars.count > self.maximumLength else { return joined }
        return String(Substring(joined.unicodeScalars.prefix(self.maximumLength - 1))) + "…"
    }

    /// Printable ASCII of a name from the wire, at most `length` bytes; for labels and logs.
    static func label(_ text: String?, length: Int = 64) -> String {
        String(decoding: (text ?? "").utf8.lazy.filter { (0x21...0x7E).contains($0) }.prefix(length), as: UTF8.self)
    }

    private static func isSeparator(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator, .surrogate, .privateUse: true
        default: false
        }
    }

    /// `<` before a letter, `/`, `!` or `?` opens a tag; a bare comparison does not.
    private static func looksLikeMarkup(_ scalars: some Sequence<Unicode.Scalar>) -> Bool {
        var previous: Unicode.Scalar?
        for scalar in scalars {
            if previous == "<", scalar.properties.isAlphabetic || scalar == "/" || scalar == "!" || scalar == "?" {
                return true
            }
            previous = scalar
        }
        return false
    }

    private static func redacted(_ word: String, followsScheme: Bool, secret: String?) -> String {
        if let secret, !secret.isEmpty, word.contains(secret) { return "[key]" }
        if word.contains("://") { return "[link]" }
        let bare = word.trimmingPunctuation
        if bare.hasPrefix("sk-") || bare.hasPrefix("r8_") { return "[key]" }
        if followsScheme, bare.utf8.count >= 16 { return "[key]" }
        return self.looksLikeHost(bare) ? "[host]" : word
    }

    /// An IPv4 address, a name of three labels or more, or a dotted name with a port.
    private static func looksLikeHost(_ word: Substring) -> Bool {
        let parts = word.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = parts.first, parts.count <= 2 else { return false }
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            !label.isEmpty && label.utf8.allSatisfy { $0.isHostCharacter }
        }
        guard isName, labels.count >= 2, let last = labels.last else { return false }
        if parts.count == 2, !parts[1].isEmpty, parts[1].utf8.allSatisfy({ $0.isDigit }) { return true }
        if labels.count == 4, name.utf8.allSatisfy({ $0.isDigit || $0 == 0x2E }) { return true }
        return labels.count >= 3 && last.utf8.count >= 2 && last.utf8.allSatisfy { !$0.isDigit && $0 != 0x2D }
    }
}

extension String {
    fileprivate var trimmingPunctuation: Substring {
        let marks: Set<Character> = [".", ",", ";", ":", "!", "?", "(", ")", "[", "]", "'", "\"", "`"]
        return self.drop { marks.contains($0) }.trimmedEnd { marks.contains($0) }
    }
}

extension Substring {
    fileprivate func trimmedEnd(while isMark: (Character) -> Bool) -> Substring {
        var end = self.endIndex
        while end > self.startIndex, isMark(self[self.index(before: end)]) { end = self.index(before: end) }
        return self[..<end]
    }
}

extension UInt8 {
    var isDigit: Bool { (0x30...0x39).contains(self) }

    fileprivate var isHostCharacter: Bool {
        self.isDigit || (0x41...0x5A).contains(self) || (0x61...0x7A).contains(self) || self == 0x2D
    }
}
