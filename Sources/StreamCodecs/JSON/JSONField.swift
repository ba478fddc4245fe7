/// Where a wanted value stands in a document.
package struct JSONField: Sendable, Equatable {
    package enum Kind: Sendable {
        case string, number, object, array, `true`, `false`, null
    }

    /// Index into the wanted paths.
    package var path: Int
    /// Array indexes at the first two `*` of the path; -1 where there is none.
    package var elements: (Int, Int)
    package var kind: Kind
    /// Byte offsets in the document: of a string without its quotes, of an object or array with its brackets.
    package var range: Range<Int>
    /// The string contains a backslash.
    package var hasEscapes: Bool
    /// The offset from which the rest of the string is base64 text: alphabet, then at most two `=`. Behind the comma
    /// of a data URL, or `range.lowerBound`. Nil for other kinds and for strings that do not end so.
    package var base64Start: Int?

    package init(
        path: Int, elements: (Int, Int) = (-1, -1), kind: Kind, range: Range<Int>, hasEscapes: Bool = false,
        base64Start: Int? = nil
    ) {
        self.path = path
        self.elements = elements
        self.kind = kind
        self.range = range
        self.hasEscapes = hasEscapes
        self.base64Start = base64Start
    }

    /// The whole string is base64 text. Says nothing of its length or of where padding belongs.
    package var isBase64: Bool { self.base64Start == self.range.lowerBound }

    package static func == (left: JSONField, right: JSONField) -> Bool {
        left.path == right.path && left.elements == right.elements && left.kind == right.kind
            && left.range == right.range && left.hasEscapes == right.hasEscapes && left.base64Start == right.base64Start
    }
}
