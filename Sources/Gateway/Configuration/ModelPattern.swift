/// A model name in which `*` stands for any run of characters, also none. Compared byte by byte, case counts.
package struct ModelPattern: Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }

    /// Takes time proportional to the product of both lengths at worst, and no memory.
    package func matches(_ model: String) -> Bool {
        let (pattern, text) = (self.text.utf8, model.utf8)
        var (p, t) = (pattern.startIndex, text.startIndex)
        // Where to go on when a try behind the last star fails: one byte more belongs to the star.
        var retry: (pattern: String.UTF8View.Index, text: String.UTF8View.Index)?
        while t < text.endIndex {
            if p < pattern.endIndex, pattern[p] == 0x2A {
                p = pattern.index(after: p)
                retry = (p, t)
            } else if p < pattern.endIndex, pattern[p] == text[t] {
                p = pattern.index(after: p)
                t = text.index(after: t)
            } else if let last = retry {
                t = text.index(after: last.text)
                p = last.pattern
                retry = (p, t)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == 0x2A }
    }
}
