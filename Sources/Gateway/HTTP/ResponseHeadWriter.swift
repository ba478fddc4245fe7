import HTTPTypes
import NIOCore

/// Writes the head of a streamed response as HTTP/1 spells it (RFC 9112, 4): its fields as given, and the framing.
enum ResponseHeadWriter {
    /// - Parameters:
    ///   - isHTTP10: no chunks; the end of the connection is the end of the body.
    ///   - closes: says that no further response follows on the connection.
    static func bytes(
        _ head: HTTPResponse, isHTTP10: Bool, closes: Bool, allocator: ByteBufferAllocator
    ) -> ByteBuffer {
        var buffer = allocator.buffer(capacity: 512)
        buffer.writeStaticString(isHTTP10 ? "HTTP/1.0 " : "HTTP/1.1 ")
        buffer.writeString(String(head.status.code))
        buffer.writeStaticString(" ")
        buffer.writeString(head.status.reasonPhrase)
        for field in head.headerFields {
            buffer.writeStaticString("\r\n")
            buffer.writeString(field.name.rawName)
            buffer.writeStaticString(": ")
            buffer.writeString(field.value)
        }
        if !isHTTP10 { buffer.writeStaticString("\r\ntransfer-encoding: chunked") }
        buffer.writeStaticString(closes ? "\r\nconnection: close\r\n\r\n" : "\r\n\r\n")
        return buffer
    }
}
