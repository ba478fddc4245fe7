package import NIOCore

/// A parsed JSON text of moderate size: a flat array of nodes over the source bytes; strings stay slices until asked
/// for.
///
/// Strict RFC 8259: valid UTF-8 without byte order mark, one root value, nothing behind it. Nothing recurses, so
/// depth costs no stack. A `\u` escape of half a surrogate pair is taken, as the grammar allows it, and reads as
/// U+FFFD.
package struct JSONDocument: Sendable {
    let storage: Storage

    /// Parses all readable bytes of `source`, which stays referenced as long as any node does.
    /// - Parameters:
    ///   - maximumNesting: containers within each other, default 128.
    ///   - maximumNodes: values and keys altogether, default 1,048,576; a node takes 16 bytes.
    ///   - duplicateKeys: default: a key that appears twice in one object is an error.
    package init(
        _ source: ByteBuffer, maximumNesting: Int = 128, maximumNodes: Int = 1 << 20,
        duplicateKeys: DuplicateKeys = .refuse
    ) throws(JSONSyntaxError) {
        let source = source.slice()
        let parsed = source.withUnsafeReadableBytes { bytes -> Result<[JSONNode.Record], JSONSyntaxError> in
            var parser = JSONDocumentParser(
                bytes, maximumNesting: maximumNesting, maximumNodes: maximumNodes, duplicateKeys: duplicateKeys)
            do throws(JSONDocumentParser.Failure) {
                return .success(try parser.parse())
            } catch {
                return .failure(JSONSyntaxError(offset: error.offset, message: error.message, in: bytes))
            }
        }
        self.storage = Storage(source: source, records: try parsed.get(), duplicateKeys: duplicateKeys)
    }

    package var root: JSONNode { JSONNode(storage: self.storage, index: 0) }

    /// What becomes of a key that appears more than once in an object, compared after unescaping.
    package enum DuplicateKeys: Sendable {
        case refuse
        /// The last one counts, the others are not seen.
        case last
    }

    final class Storage: Sendable {
        /// Begins at reader index 0.
        let source: ByteBuffer
        /// In document order. An object's children are key, value, key, value.
        let records: [JSONNode.Record]
        let duplicateKeys: DuplicateKeys

        init(source: ByteBuffer, records: [JSONNode.Record], duplicateKeys: DuplicateKeys) {
            self.source = source
            self.records = records
            self.duplicateKeys = duplicateKeys
        }
    }
}

extension JSONSyntaxError {
    init(offset: Int, message: String, in source: UnsafeRawBufferPointer) {
        let position = Self.position(of: offset, in: source)
        self.init(line: position.line, column: position.column, offset: offset, message: message)
    }

    /// Line and column of the byte at `offset`, both from 1.
    static func position(of offset: Int, in source: UnsafeRawBufferPointer) -> (line: Int, column: Int) {
        var line = 1
        var column = 1
        for index in 0..<min(offset, source.count) {
            switch source[index] {
            case 0x0A where index > 0 && source[index - 1] == 0x0D:
                continue  // The second half of CRLF: its CR has begun the line.
            case 0x0A, 0x0D:
                line += 1
                column = 1
            case 0x80...0xBF:
                continue
            default:
                column += 1
            }
        }
        return (line, column)
    }
}
