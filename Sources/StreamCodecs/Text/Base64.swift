package import NIOCore

/// Base64 with the standard alphabet of RFC 4648 section 4.
package enum Base64 {
    /// Padded text without line breaks, four bytes for every three begun.
    package static func encode(_ bytes: ByteBuffer) -> ByteBuffer {
        let count = (bytes.readableBytes + 2) / 3 * 4
        var text = ByteBufferAllocator().buffer(capacity: count)
        text.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            bytes.withUnsafeReadableBytes { Base64Tables.encode($0, into: target) }
            return count
        }
        return text
    }

    /// Decodes padded text as a whole.
    ///
    /// Bits behind the last whole byte are not looked at: some encoders leave them dirty, and they change no decoded
    /// byte.
    /// - Throws: `notBase64` for bytes outside the alphabet, line breaks included, for padding anywhere but at the
    /// end and for
    ///   a length that is no multiple of four.
    package static func decode(_ text: ByteBuffer) throws(CodecError) -> ByteBuffer {
        var bytes = ByteBufferAllocator().buffer(capacity: text.readableBytes / 4 * 3)
        var decoder = Base64StreamDecoder()
        try decoder.decode(text, into: &bytes)
        try decoder.finish()
        return bytes
    }

    /// The first decoded bytes, at most `maximumBytes`, for a look at what the text holds. Ends early, without error,
    /// where the text stops being base64.
    package static func decodePrefix(_ text: ByteBuffer, maximumBytes: Int) -> ByteBuffer {
        let groups = min(text.readableBytes / 4, max(0, maximumBytes) / 3 + 1)
        let head = text.getSlice(at: text.readerIndex, length: groups * 4) ?? ByteBuffer()
        var bytes = ByteBuffer()
        var decoder = Base64StreamDecoder()
        do throws(CodecError) {
            try decoder.decode(head, into: &bytes)
        } catch {
            // What was decoded before the fault is what there is to see.
        }
        return bytes.readSlice(length: min(bytes.readableBytes, max(0, maximumBytes))) ?? ByteBuffer()
    }
}
