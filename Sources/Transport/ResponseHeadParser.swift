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
    private var headers = HTTPFields()
    private var lastName: HTTPField.Name?
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
        let digits = statusLine.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: true).dropFirst().first
        guard statusLine.starts(with: "HTTP/".utf8), let digits, digits.count == 3,
            let status = Int(String(decoding: digits, as: UTF8.self)), (100...999).contains(status)
        else { return .malformed("no HTTP status line") }
        self.status = status
        return .incomplete
    }

    private mutating func endOfHead() -> Step {
        guard let status = self.status else { return .incomplete }
        if status < 200 {
            self.status = nil
            self.headers = HTTPFields()
            self.lastName = nil
            return .incomplete
        }
        self.isComplete = true
        defer { self.headers = HTTPFields() }
        return .complete(UpstreamResponseHead(status: status, headers: self.headers))
    }

    /// A line without a valid name is skipped: what libcurl lets through here matters to nobody downstream.
    private mutating func consume(field line: Slice<UnsafeRawBufferPointer>) -> Step {
        if let first = line.first, first == UInt8(ascii: " ") || first == UInt8(ascii: "\t") {
            return self.fold(line)
        }
        self.lastName = nil
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")),
            let name = HTTPField.Name(String(decoding: line[..<colon], as: UTF8.self))
        else { return .incomplete }
        self.lastName = name
        self.headers.append(HTTPField(name: name, value: line[line.index(after: colon)...].fieldValue))
        return .incomplete
    }

    /// RFC 9112, 5.2: an obsolete fold is read as a space.
    private mutating func fold(_ line: Slice<UnsafeRawBufferPointer>) -> Step {
        guard let name = self.lastName else { return .incomplete }
        var values = self.headers[values: name]
        guard let last = values.popLast() else { return .incomplete }
        let more = line.fieldValue
        values.append(last.isEmpty ? more : "\(last) \(more)")
        self.headers[values: name] = values
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
