internal import CScan
package import NIOCore

/// One field or file of a form.
package struct MultipartPart: Sendable {
    package var name: String
    /// As the client names it: not a path to trust. Empty with an empty body: a file field left empty by a browser.
    package var fileName: String?
    package var contentType: String?
    /// Shares the storage of the body it was found in.
    package var body: ByteBuffer

    package init(name: String, fileName: String? = nil, contentType: String? = nil, body: ByteBuffer) {
        self.name = name
        self.fileName = fileName
        self.contentType = contentType
        self.body = body
    }
}

/// `multipart/form-data` as in RFC 7578 and as browsers, curl, httpx and requests send it.
///
/// Line ends are CRLF; a bare CR or LF in a part's head is an error, as is an encoded part (base64,
/// quoted-printable). Text before the first delimiter and behind the last is passed over.
package enum MultipartForm {
    /// Largest head of a part, in bytes.
    package static let maximumHeadBytes = 8192

    /// The boundary a `multipart/form-data` content type names: 1 to 70 of RFC 2046's characters, quoted or not. Nil
    /// for any other media type and when there is no valid boundary, or more than one.
    package static func boundary(contentType: String) -> String? {
        var contentType = contentType
        return contentType.withUTF8 { text in
            guard var parameters = HeaderParameters(UnsafeRawBufferPointer(text), leading: "multipart/form-data")
            else { return nil }
            var boundary: String?
            while let parameter = parameters.next() {
                guard case .parameter(let name, let value) = parameter else { return nil }
                guard name == "boundary" else { continue }
                guard boundary == nil, self.isBoundary(value) else { return nil }
                boundary = String(decoding: value, as: UTF8.self)
            }
            return boundary
        }
    }

    /// The parts in order.
    /// - Throws: `multipart` for a form that is cut, has no delimiter, more than `maximumParts` parts or a broken head.
    package static func parts(
        _ body: ByteBuffer, boundary: String, maximumParts: Int = 256
    ) throws(CodecError) -> [MultipartPart] {
        let body = body.slice()
        let found = body.withUnsafeReadableBytes { bytes -> Result<[FoundPart], CodecError> in
            do throws(CodecError) {
                return .success(try self.find(in: bytes, delimiter: Array("--\(boundary)".utf8), maximumParts))
            } catch {
                return .failure(error)
            }
        }
        return try found.get().map { part in
            MultipartPart(
                name: part.head.name, fileName: part.head.fileName, contentType: part.head.contentType,
                body: body.getSlice(at: part.range.lowerBound, length: part.range.count) ?? ByteBuffer())
        }
    }

    static func isBoundary(_ text: some Collection<UInt8>) -> Bool {
        (1...70).contains(text.count) && !text.reversed().starts(with: [0x20])
            && text.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: "'()+_,-./:=? ".utf8.contains(byte)
                }
            }
    }
}

// MARK: - Delimiters

extension MultipartForm {
    private struct FoundPart {
        let head: MultipartHead
        let range: Range<Int>
    }

    /// A delimiter line: `start` is where the part before it ends, `end` is behind its line break.
    private struct Delimiter {
        let start: Int
        let end: Int
        let isLast: Bool
    }

    private static func find(
        in bytes: UnsafeRawBufferPointer, delimiter: [UInt8], _ maximumParts: Int
    ) throws(CodecError) -> [FoundPart] {
        guard var current = self.line(bytes, at: 0, start: 0, delimiter) ?? self.next(bytes, from: 0, delimiter) else {
            throw .multipart("no boundary line")
        }
        var parts: [FoundPart] = []
        while !current.isLast {
            guard parts.count < maximumParts else { throw .multipart("too many parts") }
            let (head, bodyStart) = try self.head(bytes, from: current.end)
            // A part may have no body at all: the blank line's break is then the delimiter's.
            guard let next = self.next(bytes, from: bodyStart - 2, delimiter) else {
                throw .multipart("no final boundary line")
            }
            parts.append(FoundPart(head: head, range: bodyStart..<max(bodyStart, next.start)))
            current = next
        }
        return parts
    }

    private static func head(
        _ bytes: UnsafeRawBufferPointer, from start: Int
    ) throws(CodecError) -> (MultipartHead, bodyStart: Int) {
        var head = MultipartHead.Builder()
        var offset = start
        while true {
            let limit = min(bytes.count, start + self.maximumHeadBytes)
            let end = offset + self.lineEnd(bytes, from: offset, to: limit)
            guard end + 1 < limit else {
                throw .multipart(limit < bytes.count ? "part head too large" : "part head without an end")
            }
            guard bytes[end] == 0x0D, bytes[end + 1] == 0x0A else { throw .multipart("bare line break in a part head") }
            if end == offset { return (try head.finish(), end + 2) }
            try head.take(line: UnsafeRawBufferPointer(rebasing: bytes[offset..<end]))
            offset = end + 2
        }
    }

    /// The next delimiter line behind a line break at or behind `start`.
    private static func next(_ bytes: UnsafeRawBufferPointer, from start: Int, _ delimiter: [UInt8]) -> Delimiter? {
        var offset = start
        while true {
            offset += self.lineEnd(bytes, from: offset, to: bytes.count)
            guard offset + 2 < bytes.count else { return nil }
            if bytes[offset] == 0x0D, bytes[offset + 1] == 0x0A,
                let found = self.line(bytes, at: offset + 2, start: offset, delimiter)
            {
                return found
            }
            offset += 1
        }
    }

    /// The delimiter line at `offset`; nil when it is something else, such as content that begins alike.
    private static func line(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, start: Int, _ delimiter: [UInt8]
    ) -> Delimiter? {
        guard bytes[offset...].starts(with: delimiter) else { return nil }
        var end = offset + delimiter.count
        let isLast = bytes[end...].starts(with: [0x2D, 0x2D])
        if isLast { end += 2 }
        while end < bytes.count, bytes[end] == 0x20 || bytes[end] == 0x09 { end += 1 }
        if isLast {
            let closes = end == bytes.count || bytes[end] == 0x0D || bytes[end] == 0x0A
            return closes ? Delimiter(start: start, end: end, isLast: true) : nil
        }
        guard bytes[end...].starts(with: [0x0D, 0x0A]) else { return nil }
        return Delimiter(start: start, end: end + 2, isLast: false)
    }

    private static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) -> Int {
        guard let base = bytes.baseAddress, start < end else { return 0 }
        return cscan_line_end(base.assumingMemoryBound(to: UInt8.self) + start, end - start)
    }
}
