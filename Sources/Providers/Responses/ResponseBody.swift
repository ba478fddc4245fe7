import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// What the head of a successful response says of its body.
enum ResponseForm: Sendable {
    case events
    case json
    /// No `Content-Type`: the first byte decides.
    case unknown
    case other

    init(_ headers: HTTPFields) {
        guard let value = headers[.contentType] else {
            self = .unknown
            return
        }
        let type = value.prefix { $0 != ";" }.lowercased().filter { $0 != " " && $0 != "\t" }
        switch type {
        case "text/event-stream": self = .events
        case "application/json", "text/json": self = .json
        case "": self = .unknown
        default: self = type.hasSuffix("+json") ? .json : .other
        }
    }
}

/// A JSON body gathered in one buffer and scanned piece by piece while each piece is in cache.
struct JSONBody: Sendable {
    private(set) var document: ByteBuffer
    private(set) var scanner: JSONFieldScanner
    private let maximumBytes: Int

    /// - Parameter headers: `Content-Length`, where given, sizes the buffer at once.
    init(_ paths: JSONFieldPaths, headers: HTTPFields, maximumBytes: Int) {
        let expected = headers[.contentLength].flatMap { Int($0) } ?? 0
        self.document = ByteBuffer()
        self.document.reserveCapacity(min(max(expected, 1024), maximumBytes, 16 << 20))
        self.scanner = JSONFieldScanner(paths, maximumNesting: 64)
        self.maximumBytes = maximumBytes
        self.scanner.begin()
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(GatewayError) {
        guard bytes.count <= self.maximumBytes - self.document.readableBytes else {
            throw GatewayError(.upstreamTooLarge, "The upstream's answer is larger than the gateway accepts.")
        }
        self.document.writeBytes(bytes)
        self.scanner.scan(bytes)
    }

    /// The whole document with what was found in it.
    mutating func finish() throws(GatewayError) -> (document: ByteBuffer, fields: JSONFieldScanner) {
        self.scanner.end()
        guard self.scanner.error == nil else {
            throw GatewayError(.upstreamProtocol, "The upstream's answer is not valid JSON.")
        }
        return (self.document, self.scanner)
    }
}

/// The first bytes of a body that explains a failure.
struct ErrorBody: Sendable {
    let head: ExchangeResponseHead
    private var bytes = ByteBuffer()

    init(_ head: ExchangeResponseHead) { self.head = head }

    /// False once enough has been gathered.
    mutating func append(_ piece: UnsafeRawBufferPointer) -> Bool {
        let room = UpstreamErrorReport.maximumBodyBytes - self.bytes.readableBytes
        self.bytes.writeBytes(UnsafeRawBufferPointer(rebasing: piece.prefix(max(0, room))))
        return piece.count < room
    }

    var report: UpstreamErrorReport {
        UpstreamErrorReport(
            body: self.bytes, status: self.head.status,
            retryAfterMilliseconds: RetryAfter.milliseconds(self.head.headers))
    }
}

extension GatewayError {
    init(_ error: CodecError) {
        switch error {
        case .eventTooLarge:
            self.init(.upstreamTooLarge, "The upstream sent an event larger than the gateway accepts.")
        default:
            self.init(.upstreamProtocol, "The upstream sent what its protocol does not allow.", cause: "\(error)")
        }
    }

    /// The same failure with at least this cost.
    func billed(atLeast least: Billed) -> GatewayError {
        var error = self
        error.billed = Self.cost(self.billed) < Self.cost(least) ? least : self.billed
        return error
    }

    private static func cost(_ billed: Billed) -> Int {
        switch billed {
        case .no: 0
        case .maybe: 1
        case .yes: 2
        }
    }
}

extension ServerSentEventFrame {
    /// The event's type, cut to 256 bytes; nil where none was given.
    var eventName: String? {
        self.event.map { String(decoding: $0.readableBytesView.prefix(256), as: UTF8.self) }
    }
}
