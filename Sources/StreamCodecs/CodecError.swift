/// A bound or a rule of a format was broken. Every `offset` counts bytes from the start of the document or frame data.
package enum CodecError: Error, Equatable, Sendable {
    /// The data and field values of one event take more than `limit` bytes.
    case eventTooLarge(limit: Int)
    case invalidJSON(offset: Int)
    /// The container opened at `offset` would be nested deeper than `limit`.
    case nestingTooDeep(offset: Int, limit: Int)
    /// A document holds more than `limit` of the wanted values.
    case tooManyValues(limit: Int)
    case notBase64(offset: Int)
    /// CR, LF or NUL in a place where it would end the field and begin another.
    case forbiddenByte(UInt8, field: String)
    /// The text is a constant of the parser, never input.
    case multipart(String)
}
