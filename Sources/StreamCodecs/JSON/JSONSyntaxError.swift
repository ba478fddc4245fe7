/// Why a text is no JSON document that we take, and where.
package struct JSONSyntaxError: Error, Sendable, Equatable {
    /// From 1. Lines end by LF, CR or CRLF.
    package let line: Int
    /// From 1, counted in Unicode scalars.
    package let column: Int
    /// In bytes, from 0.
    package let offset: Int
    /// Short plain English; a duplicate key is named, no other input is quoted.
    package let message: String

    package init(line: Int, column: Int, offset: Int, message: String) {
        self.line = line
        self.column = column
        self.offset = offset
        self.message = message
    }
}
