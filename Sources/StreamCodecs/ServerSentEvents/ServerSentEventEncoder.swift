package import NIOCore

/// Writes events in a form that every reader of the WHATWG format takes: LF line ends, one space behind the colon.
///
/// An event is head, then data. Data that is known to be one line is written by the caller as `data: `, text, blank
/// line.
package struct ServerSentEventEncoder: Sendable {
    /// Writes the lines before the data. Nothing is written when it throws.
    ///
    /// - Throws: `forbiddenByte` for CR, LF or NUL in `event` or `id`, which would end the line or void the id, and for
    ///   the sign of a negative `retryMilliseconds`.
    package static func writeHead(
        event: String?, id: String?, retryMilliseconds: Int?, into out: inout ByteBuffer
    ) throws(CodecError) {
        if let event { try self.check(event, field: "event") }
        if let id { try self.check(id, field: "id") }
        if let retryMilliseconds, retryMilliseconds < 0 {
            throw .forbiddenByte(UInt8(ascii: "-"), field: "retry")
        }
        if let event { self.writeLine("event: ", event, into: &out) }
        if let id { self.writeLine("id: ", id, into: &out) }
        if let retryMilliseconds { self.writeLine("retry: ", String(retryMilliseconds), into: &out) }
    }

    /// Writes `text` as data lines, cut at CR, LF and CR LF, and the blank line that ends the event. A reader gets the
    /// text back with LF for every line end.
    package static func writeData(text: String, into out: inout ByteBuffer) {
        var text = text
        text.withUTF8 { bytes in
            var start = 0
            var at = 0
            while at < bytes.count {
                let byte = bytes[at]
                at += 1
                guard byte == 0x0A || byte == 0x0D else { continue }
                self.writeDataLine(
                    UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[start..<at - 1]), &out)
                if byte == 0x0D, at < bytes.count, bytes[at] == 0x0A { at += 1 }
                start = at
            }
            self.writeDataLine(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[start...]), &out)
        }
        out.writeStaticString("\n")
    }

    /// Writes a comment and a blank line. `text` must be one line.
    package static func writeComment(_ text: StaticString, into out: inout ByteBuffer) {
        out.writeStaticString(": ")
        out.writeStaticString(text)
        out.writeStaticString("\n\n")
    }

    private static func check(_ value: String, field: String) throws(CodecError) {
        for byte in value.utf8 where byte == 0x0A || byte == 0x0D || byte == 0 {
            throw .forbiddenByte(byte, field: field)
        }
    }

    private static func writeLine(_ name: StaticString, _ value: String, into out: inout ByteBuffer) {
        out.writeStaticString(name)
        out.writeString(value)
        out.writeStaticString("\n")
    }

    private static func writeDataLine(_ line: UnsafeRawBufferPointer, _ out: inout ByteBuffer) {
        out.writeStaticString("data: ")
        out.writeBytes(line)
        out.writeStaticString("\n")
    }
}
