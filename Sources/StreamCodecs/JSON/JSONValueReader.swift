internal import CScan
package import NIOCore

/// Small values out of a document that a `JSONFieldScanner` has read without error.
package enum JSONValueReader {
    /// The string, unescaped; nil for other kinds. Lone surrogates become U+FFFD.
    package static func string(_ field: JSONField, in document: ByteBuffer) -> String? {
        guard field.kind == .string else { return nil }
        return self.withBytes(field, document) { raw in
            guard field.hasEscapes else { return String(decoding: raw, as: UTF8.self) }
            return String(unsafeUninitializedCapacity: raw.count) {
                JSONText.unescape(raw, into: UnsafeMutableRawBufferPointer($0))
            }
        }
    }

    /// The number when it is integral and fits, however it is written: 14, 14.0, 1.4e1.
    package static func integer(_ field: JSONField, in document: ByteBuffer) -> Int64? {
        guard field.kind == .number else { return nil }
        return self.withBytes(field, document) { $0.isEmpty ? nil : JSONNumber.integer($0) }
    }

    /// The nearest `Double`; nil for other kinds and beyond its range.
    package static func double(_ field: JSONField, in document: ByteBuffer) -> Double? {
        guard field.kind == .number else { return nil }
        return self.withBytes(field, document) { JSONNumber.double($0) }
    }

    /// The value's bytes, of a string without quotes and with its escapes. Shares the document's storage.
    package static func slice(_ field: JSONField, in document: ByteBuffer) -> ByteBuffer {
        document.getSlice(at: document.readerIndex + field.range.lowerBound, length: field.range.count) ?? ByteBuffer()
    }

    /// Whether the value is the string `text`. Allocates nothing.
    package static func equals(_ field: JSONField, _ text: StaticString, in document: ByteBuffer) -> Bool {
        self.withText(field, in: document, longest: text.utf8CodeUnitCount) { text.equals($0) } ?? false
    }

    /// Which of `texts` the string is. Allocates nothing.
    package static func index(of field: JSONField, among texts: [StaticString], in document: ByteBuffer) -> Int? {
        let longest = texts.reduce(0) { max($0, $1.utf8CodeUnitCount) }
        return self.withText(field, in: document, longest: longest) { $0.index(among: texts) } ?? nil
    }

    /// Lends the string's bytes, unescaped. Allocates nothing.
    /// - Returns: nil for other kinds and for strings that are longer than `longest` bytes.
    private static func withText<Result>(
        _ field: JSONField, in document: ByteBuffer, longest: Int, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result? {
        guard field.kind == .string else { return nil }
        return self.withBytes(field, document) { raw -> Result? in
            guard field.hasEscapes else { return raw.count <= longest ? body(raw) : nil }
            // An escape of six bytes stands for at least one, and the text is short: the rest is not unescaped.
            guard raw.count <= longest * 6 else { return nil }
            return withUnsafeTemporaryAllocation(byteCount: raw.count, alignment: 1) { target in
                let count = JSONText.unescape(raw, into: target)
                return count <= longest ? body(UnsafeRawBufferPointer(rebasing: target[..<count])) : nil
            }
        }
    }

    private static func withBytes<Result>(
        _ field: JSONField, _ document: ByteBuffer, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        document.withUnsafeReadableBytes { bytes in
            // A field of another document must not read beyond this one.
            body(UnsafeRawBufferPointer(rebasing: bytes[field.range.clamped(to: bytes.indices)]))
        }
    }
}

extension StaticString {
    /// Whether the text is these bytes.
    func equals(_ bytes: UnsafeRawBufferPointer) -> Bool {
        self.utf8CodeUnitCount == bytes.count
            && self.withUTF8Buffer { cscan_equal($0.baseAddress, bytes.baseAddress, bytes.count) != 0 }
    }
}

extension UnsafeRawBufferPointer {
    func index(among texts: [StaticString]) -> Int? { texts.firstIndex { $0.equals(self) } }
}
