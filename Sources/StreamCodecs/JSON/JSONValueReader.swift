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
        guard field.kind == .string else { return false }
        return text.withUTF8Buffer { wanted in
            self.withBytes(field, document) { raw in
                guard field.hasEscapes else { return raw.elementsEqual(wanted) }
                // An escape of six bytes stands for at least one, and the text is short: the rest is not unescaped.
                guard raw.count <= wanted.count * 6 else { return false }
                return withUnsafeTemporaryAllocation(byteCount: raw.count, alignment: 1) { target in
                    let count = JSONText.unescape(raw, into: target)
                    return target[..<count].elementsEqual(wanted)
                }
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
