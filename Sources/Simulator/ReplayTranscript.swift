package import HTTPTypes
package import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A recorded answer, given to every POST.
package struct ReplayTranscript: Sendable {
    package var status: Int
    package var headers: HTTPFields
    package var body: ByteBuffer
    /// Pause before each event of a recorded event stream. Default none.
    package var pace: Duration

    package struct Problem: Error, Equatable, Sendable {
        package let message: String
    }

    /// - Parameter name: the file's name, whose extension tells what it holds: `.http` brings its own head; of all others
    ///   the type follows from the extension.
    package init(name: String, contents: ByteBuffer, pace: Duration = .zero) throws(Problem) {
        self.pace = pace
        self.status = 200
        self.headers = [:]
        self.body = contents
        if name.hasSuffix(".http") {
            try self.readHead()
        } else {
            self.headers[.contentType] = Self.mediaType(name)
        }
    }

    /// Reads a file of up to 256 MiB.
    package static func load(path: String, pace: Duration = .zero) async throws -> ReplayTranscript {
        let contents = try await NIOThreadPool.singleton.runIfActive { try Self.read(path: path) }
        return try ReplayTranscript(name: path, contents: contents, pace: pace)
    }

    private static func read(path: String) throws -> ByteBuffer {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw IOError(errnoCode: errno, reason: "open") }
        defer { close(file) }
        var contents = ByteBuffer()
        while true {
            var count = 0
            var failure: CInt = 0
            contents.writeWithUnsafeMutableBytes(minimumWritableBytes: 1 << 16) { target in
                count = Self.readBytes(file, target)
                if count < 0 { failure = errno }
                return max(0, count)
            }
            if failure == EINTR { continue }
            guard count >= 0 else { throw IOError(errnoCode: failure, reason: "read") }
            if count == 0 { return contents }
            guard contents.readableBytes <= 256 << 20 else {
                throw Problem(message: "The transcript is larger than 256 MiB.")
            }
        }
    }

    private static func readBytes(_ file: CInt, _ target: UnsafeMutableRawBufferPointer) -> Int {
        #if canImport(Glibc)
        Glibc.read(file, target.baseAddress, target.count)
        #elseif canImport(Musl)
        Musl.read(file, target.baseAddress, target.count)
        #else
        Darwin.read(file, target.baseAddress, target.count)
        #endif
    }

    private static func mediaType(_ name: String) -> String {
        switch name.split(separator: ".").last {
        case "sse": "text/event-stream; charset=utf-8"
        case "json": "application/json"
        case "jsonl", "ndjson": "application/x-ndjson"
        case "html": "text/html; charset=utf-8"
        case "png": "image/png"
        default: "text/plain; charset=utf-8"
        }
    }

    private mutating func readHead() throws(Problem) {
        var lines: [Substring] = []
        while let line = try self.readLine() {
            if line.isEmpty { break }
            lines.append(line)
        }
        let words = (lines.first ?? "").split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/"), let status = Int(words[1]), (200...599).contains(status)
        else { throw Problem(message: "The transcript does not begin with a status line such as HTTP/1.1 200 OK.") }
        self.status = status
        for line in lines.dropFirst() {
            let sides = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, let name = HTTPField.Name(String(sides[0])) else {
                throw Problem(message: "The transcript has a header line without a valid name: '\(line.prefix(60))'.")
            }
            // Length and framing are this server's business.
            if [.contentLength, .transferEncoding, .connection].contains(name) { continue }
            let value = sides[1].drop(while: \.isWhitespace)
            self.headers.append(HTTPField(name: name, value: String(value)))
        }
    }

    private mutating func readLine() throws(Problem) -> Substring? {
        guard let end = self.body.readableBytesView.firstIndex(of: 0x0A) else {
            throw Problem(message: "The transcript's head has no end.")
        }
        let count = end - self.body.readerIndex
        guard var line = self.body.readString(length: count).map({ Substring($0) }) else { return nil }
        self.body.moveReaderIndex(forwardBy: 1)
        if line.utf8.last == 0x0D { line = Substring(line.utf8.dropLast()) }
        return line
    }
}

extension ReplayTranscript {
    func response(script: SimulatorScript) -> SimulatorResponse {
        let type = self.headers[.contentType] ?? "application/octet-stream"
        guard type.hasPrefix("text/event-stream") else {
            return SimulatorResponse(
                status: self.status, type: type, headers: self.headers, body: .whole([self.body]), script: script)
        }
        return SimulatorResponse(
            status: self.status, type: type, headers: self.headers,
            body: .stream { stream in
                var rest = self.body
                while let event = Self.readEvent(&rest) {
                    try await stream.visit.pause(for: self.pace)
                    try await stream.send([event], last: rest.readableBytes == 0)
                }
            }, script: script)
    }

    /// The bytes up to and with the next blank line, or what is left.
    private static func readEvent(_ rest: inout ByteBuffer) -> ByteBuffer? {
        guard rest.readableBytes > 0 else { return nil }
        let bytes = rest.readableBytesView
        var atLineStart = false
        for index in bytes.indices {
            let byte = bytes[index]
            if byte == 0x0A {
                if atLineStart { return rest.readSlice(length: index + 1 - rest.readerIndex) }
                atLineStart = true
            } else if byte != 0x0D {
                atLineStart = false
            }
        }
        return rest.readSlice(length: rest.readableBytes)
    }
}
