package import NIOCore

/// Writes a `multipart/form-data` body in pieces for a vectored write: the bytes of files are not copied.
package struct MultipartFormWriter: Sendable {
    package let boundary: String
    private var pieces: [ByteBuffer] = []
    private var text = ByteBuffer()

    /// A boundary of 128 random bits, which no content holds.
    package init() {
        var generator = SystemRandomNumberGenerator()
        self.init(drawingFrom: &generator)
    }

    /// The same from a generator of the caller's, for bodies that have to come out the same again.
    package init(drawingFrom generator: inout some RandomNumberGenerator) {
        let bits = [generator.next(), generator.next()] as [UInt64]
        self.boundary = "safelight-" + bits.map { String($0, radix: 36) }.joined()
    }

    /// The caller vouches that no content holds `boundary`; nil when it is none by RFC 2046.
    package init?(boundary: String) {
        guard MultipartForm.isBoundary(boundary.utf8) else { return nil }
        self.boundary = boundary
    }

    /// The value of the request's `Content-Type`.
    package var contentType: String {
        let isToken = self.boundary.utf8.allSatisfy(HeaderParameters.isToken)
        return "multipart/form-data; boundary=" + (isToken ? self.boundary : "\"\(self.boundary)\"")
    }

    package mutating func append(name: String, text: String) {
        self.writeHead(name: name, fileName: nil, contentType: nil)
        self.text.writeString(text)
        self.text.writeStaticString("\r\n")
    }

    package mutating func append(name: String, fileName: String, contentType: String, body: ByteBuffer) {
        self.writeHead(name: name, fileName: fileName, contentType: contentType)
        self.pieces.append(self.text)
        self.pieces.append(body)
        self.text = ByteBuffer()
        self.text.writeStaticString("\r\n")
    }

    /// The whole body, in order.
    package consuming func finish() -> [ByteBuffer] {
        self.text.writeString("--\(self.boundary)--\r\n")
        self.pieces.append(self.text)
        return self.pieces
    }

    private mutating func writeHead(name: String, fileName: String?, contentType: String?) {
        self.text.writeString("--\(self.boundary)\r\nContent-Disposition: form-data; name=\"")
        self.writeEscaped(name)
        if let fileName {
            self.text.writeStaticString("\"; filename=\"")
            self.writeEscaped(fileName)
        }
        self.text.writeStaticString("\"\r\n")
        if let contentType {
            self.text.writeStaticString("Content-Type: ")
            // No line break of a foreign media type may end the header.
            self.text.writeBytes(contentType.utf8.filter { $0 >= 0x20 && $0 != 0x7F })
            self.text.writeStaticString("\r\n")
        }
        self.text.writeStaticString("\r\n")
    }

    /// As browsers do: https://html.spec.whatwg.org/#multipart-form-data. Only a backslash before another one or before the closing
    /// quote is not left alone: many readers take it for an escape there, and the name would not end where it should.
    private mutating func writeEscaped(_ name: String) {
        let bytes = Array(name.utf8)
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case 0x22: self.text.writeStaticString("%22")
            case 0x5C where index + 1 == bytes.count || bytes[index + 1] == 0x5C: self.text.writeStaticString("%5C")
            case 0x0D: self.text.writeStaticString("%0D")
            case 0x0A: self.text.writeStaticString("%0A")
            default: self.text.writeInteger(byte)
            }
        }
    }
}
