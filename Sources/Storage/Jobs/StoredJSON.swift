import NIOCore
import StreamCodecs

/// Model values as the store keeps them: one line of JSON each. Read back, a value is what it was but for what is left
/// out on purpose: payloads (they are in the image store) and signed URLs (made anew when asked for).
///
/// Fields that a reader does not know are skipped; names once written are never given another meaning.
package enum StoredJSON {
    static func write(_ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        body(&writer)
        return String(buffer: writer.buffer)
    }

    static func read(_ text: String) throws(StoredJSONError) -> JSONNode {
        do {
            return try JSONDocument(ByteBuffer(string: text)).root
        } catch {
            throw StoredJSONError("\(error.message) at byte \(error.offset)")
        }
    }

    /// Free text for a column: a database's own text ends at the first NUL, JSON escapes it.
    package static func text(_ text: String) -> String { self.write { $0.value(text) } }

    package static func plainText(_ stored: String) throws(StoredJSONError) -> String {
        guard let text = try self.read(stored).string else { throw StoredJSONError("no text") }
        return text
    }
}

/// A stored value that this version did not write.
package struct StoredJSONError: Error, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

extension JSONNode {
    func required(_ key: String) throws(StoredJSONError) -> JSONNode {
        guard let node = self[key] else { throw StoredJSONError("'\(key)' is missing") }
        return node
    }

    func text(_ key: String) throws(StoredJSONError) -> String {
        guard let text = try self.required(key).string else { throw StoredJSONError("'\(key)' is no text") }
        return text
    }

    func integer(_ key: String) throws(StoredJSONError) -> Int {
        guard let integer = try self.required(key).integer else { throw StoredJSONError("'\(key)' is no integer") }
        return Int(integer)
    }

    /// A text that names one of an enumeration's cases.
    func word<Word: RawRepresentable<String>>(_ key: String) throws(StoredJSONError) -> Word {
        let text = try self.text(key)
        guard let word = Word(rawValue: text) else { throw StoredJSONError("'\(key)' is not known: \(text)") }
        return word
    }

    func optionalInteger(_ key: String) -> Int? { self[key]?.integer.map { Int($0) } }
}
