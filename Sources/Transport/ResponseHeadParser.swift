import HTTPTypes

/// Builds the head of the final response from the lines libcurl hands out, one at a time with their line ends.
/// Informational responses (1xx) are skipped.
struct ResponseHeadParser {
    enum Step {
        case incomplete
        case complete(UpstreamResponseHead)
        case malformed(String)
    }

    /// Bound of all lines of one call together: informational heads, the final one, trailers.
    static let maximumBytes = 256 * 1024

    private var status: Int?
    private var fields: [HTTPField] = []
    /// The last line was a field, so that a fold may follow.
    private var mayFold = false
    private var bytes = 0
    private(set) var isComplete = false

    /// A line after the final head is a trailer: counted, otherwise ignored.
    mutating func consume(line: UnsafeRawBufferPointer) -> Step {
        self.bytes += line.count
        guard self.bytes <= Self.maximumBytes else {
            return .malformed("response head over \(Self.maximumBytes) bytes")
        }
        guard !self.isComplete else { return .incomplete }
        let content = line.trimmingLineEnd()
        if self.status == nil { return self.consume(statusLine: content) }
        if content.isEmpty { return self.endOfHead() }
        return self.consume(field: content)
    }

    private mutating func consume(statusLine: Slice<UnsafeRawBufferPointer>) -> Step {
        // A blank line between responses means nothing.
        guard !statusLine.isEmpty else { return .incomplete }
        let digits = statusLine.drop { $0 != UInt8(ascii: " ") }.drop { $0 == UInt8(ascii: " ") }
            .prefix { $0 != UInt8(ascii: " ") }
        guard statusLine.starts(with: "HTTP/".utf8), digits.count == 3,
            digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return .malformed("no HTTP status line") }
        let status = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        guard status >= 100 else { return .malformed("no HTTP status line") }
        self.status = status
        return .incomplete
    }

    private mutating func endOfHead() -> Step {
        guard let status = self.status else { return .incomplete }
        if status < 200 {
            self.status = nil
            self.fields = []
            self.mayFold = false
            return .incomplete
        }
        self.isComplete = true
        // All at once, since each single field would be inserted by moving it about.
        var headers = HTTPFields()
        headers.replaceSubrange(headers.startIndex..<headers.startIndex, with: self.fields)
        self.fields = []
        return .complete(UpstreamResponseHead(status: status, headers: headers))
    }

    /// A line without a valid name is skipped: what libcurl lets through here matters to nobody downstream.
    private mutating func consume(field line: Slice<UnsafeRawBufferPointer>) -> Step {
        if let first = line.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") {
            return self.fold(line)
        }
        self.mayFold = false
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
            let name = HTTPField.Name(String(decoding: line[..<colon], as: UTF8.self))
        else { return .incomplete }
        self.mayFold = true
        if self.fields.isEmpty { self.fields.reserveCapacity(12) }
        self.fields.append(HTTPField(name: name, value: line[line.index(after: colon)...].fieldValue))
        return .incomplete
    }

    /// RFC 9112, 5.2: an obsolete fold is read as a space.
    private mutating func fold(_ line: Slice<UnsafeRawBufferPointer>) -> Step {
        guard self.mayFold, let last = self.fields.popLast() else { return .incomplete }
        let more = line.fieldValue
        self.fields.append(HTTPField(name: last.name, value: last.value.isEmpty ? more : "\(last.value) \(more)"))
        return .incomplete
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func trimmingLineEnd() -> Slice<UnsafeRawBufferPointer> {
        var end = self.endIndex
        while end > self.startIndex, self[end - 1] == UInt8(ascii: "\n") || self[end - 1] == UInt8(ascii: "\r") {
            end -= 1
        }
        return self[self.startIndex..<end]
    }
}

extension Slice<UnsafeRawBufferPointer> {
    /// Without the white space around it; bytes that are not UTF-8 become U+FFFD.
    fileprivate var fieldValue: String {
        var value = self
        while let first = value.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") { value.removeFirst() }
        while let last = value.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { value.removeLast() }
        return String(decoding: value, as: UTF8.self)
    }
}
