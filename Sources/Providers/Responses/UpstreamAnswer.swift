import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// What arrives for one call, in whichever form it comes: events, a document, the bytes of a picture, or an explanation.
struct UpstreamAnswer: Sendable {
    enum Form: Sendable { case none, undecided, events, json, picture, error, ignored }

    /// What a successful answer may be. Empty: nobody looks at it.
    struct Forms: OptionSet, Sendable {
        let rawValue: Int
        static let events = Forms(rawValue: 1)
        static let json = Forms(rawValue: 2)
        static let picture = Forms(rawValue: 4)
    }

    let call: Int
    private(set) var form = Form.none
    private(set) var head: ExchangeResponseHead?

    private let accepted: Forms
    private let eventPaths: JSONFieldPaths
    private let documentPaths: JSONFieldPaths
    private let maximumBytes: Int
    private var decoder: ServerSentEventDecoder<JSONFieldScanner>?
    private var body: JSONBody?
    private var picture: PictureBody?
    private var errorBody: ErrorBody?

    private static let noPaths = JSONFieldPaths([])

    /// - Parameter maximumBytes: of one event, of a document, and of a picture's base64.
    init(
        call: Int, accepting: Forms, events: JSONFieldPaths? = nil, documents: JSONFieldPaths? = nil, maximumBytes: Int
    ) {
        self.call = call
        self.accepted = accepting
        self.eventPaths = events ?? Self.noPaths
        self.documentPaths = documents ?? Self.noPaths
        self.maximumBytes = maximumBytes
    }

    var status: Int? { self.head?.status }

    /// - Throws: `upstream_protocol` where the body is in no form that is of use.
    mutating func take(_ head: ExchangeResponseHead) throws(GatewayError) {
        self.head = head
        guard !self.accepted.isEmpty else {
            self.form = .ignored
            return
        }
        guard (200..<300).contains(head.status) else {
            self.form = .error
            self.errorBody = ErrorBody(head)
            return
        }
        switch ResponseForm(head.headers) {
        case .events where self.accepted.contains(.events): self.begin(.events)
        case .json where self.accepted.contains(.json): self.begin(.json)
        case .other where self.accepted.contains(.picture) && Self.mayBePicture(head.headers):
            try self.beginPicture(head)
        case .unknown where self.accepted == .picture: try self.beginPicture(head)
        case .unknown: self.form = .undecided
        default:
            throw GatewayError(
                .upstreamProtocol, "The upstream's answer is not in a form it is known to use.", billed: .maybe,
                upstreamStatus: head.status)
        }
    }

    private static func mayBePicture(_ headers: HTTPFields) -> Bool {
        let type = (headers[.contentType] ?? "").lowercased()
        return !type.hasPrefix("text/") && !type.contains("html")
    }

    private mutating func begin(_ form: Form) {
        self.form = form
        if form == .events {
            self.decoder = ServerSentEventDecoder(
                limits: CodecLimits(maximumEventBytes: self.maximumBytes),
                scanner: JSONFieldScanner(self.eventPaths, maximumNesting: 64))
        } else {
            self.body = JSONBody(
                self.documentPaths, headers: self.head?.headers ?? [:], maximumBytes: self.maximumBytes)
        }
    }

    private mutating func beginPicture(_ head: ExchangeResponseHead) throws(GatewayError) {
        self.form = .picture
        self.picture = try PictureBody(head.headers, maximumBytes: self.maximumBytes)
    }

    /// Gathers whatever is no event stream. False: enough has been read to know how the call failed.
    mutating func append(_ piece: UnsafeRawBufferPointer) throws(GatewayError) -> Bool {
        if self.form == .undecided, let first = piece.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
            try self.decide(first)
        }
        switch self.form {
        case .json: try self.body?.append(piece)
        case .picture: try self.picture?.append(piece)
        case .error: return self.errorBody?.append(piece) ?? true
        case .none, .undecided, .events, .ignored: break
        }
        return true
    }

    /// Without a media type the first byte tells.
    private mutating func decide(_ first: UInt8) throws(GatewayError) {
        if first == UInt8(ascii: "{"), self.accepted.contains(.json) {
            self.begin(.json)
        } else if self.accepted.contains(.events) {
            self.begin(.events)
        } else if self.accepted.contains(.picture), let head = self.head {
            try self.beginPicture(head)
        } else {
            self.begin(.json)
        }
    }

    /// The next whole event, with what was found in it.
    mutating func nextEvent(
        _ bytes: inout UnsafeRawBufferPointer
    ) throws(GatewayError) -> (frame: ServerSentEventFrame, fields: JSONFieldScanner)? {
        guard self.form == .events else { return nil }
        do {
            guard let frame = try self.decoder?.consume(&bytes), let fields = self.decoder?.scanner else { return nil }
            return (frame, fields)
        } catch { throw GatewayError(error) }
    }

    mutating func document() throws(GatewayError) -> (document: ByteBuffer, fields: JSONFieldScanner) {
        guard var body = self.body.take() else {
            throw GatewayError(.upstreamProtocol, "The upstream's answer is empty.")
        }
        return try body.finish()
    }

    /// Canonical base64 of the picture that came.
    mutating func finishedPicture() throws(GatewayError) -> ByteBuffer {
        guard var picture = self.picture.take() else {
            throw GatewayError(.upstreamProtocol, "The upstream sent an empty picture.", billed: .yes)
        }
        return try picture.finish()
    }

    var failure: UpstreamErrorReport { self.errorBody?.report ?? UpstreamErrorReport(status: self.status) }

    /// Why the call was refused, when its form is `error`.
    func refusal(
        parameters: [String: String] = [:], hiding secret: String?, readsWords: Bool = false
    ) -> GatewayError {
        let status = self.status ?? 500
        guard !(300..<400).contains(status) else {
            return GatewayError(.upstreamProtocol, "The upstream answered with a redirect.", upstreamStatus: status)
        }
        return self.failure.gatewayError(
            billed: UpstreamErrorReport.billed(forStatus: status), parameters: parameters, hiding: secret,
            readsWords: readsWords)
    }
}

/// A picture that comes as bytes, encoded while it arrives.
struct PictureBody: Sendable {
    private var text: ByteBuffer
    private var encoder = Base64StreamEncoder()
    private var count = 0
    private let expected: Int?
    private let maximumBytes: Int

    /// - Parameter maximumBytes: of the base64 text.
    init(_ headers: HTTPFields, maximumBytes: Int) throws(GatewayError) {
        let isPlain = headers[.contentEncoding] == nil
        self.expected = isPlain ? headers[.contentLength].flatMap { Int($0) } : nil
        self.maximumBytes = maximumBytes / 4 * 3
        let announced = max(0, self.expected ?? 0)
        guard announced <= self.maximumBytes else { throw Self.tooLarge }
        self.text = ByteBufferAllocator().buffer(capacity: min((announced + 2) / 3 * 4, 16 << 20))
    }

    mutating func append(_ piece: UnsafeRawBufferPointer) throws(GatewayError) {
        guard piece.count <= self.maximumBytes - self.count else { throw Self.tooLarge }
        self.count += piece.count
        self.encoder.encode(piece, into: &self.text)
    }

    mutating func finish() throws(GatewayError) -> ByteBuffer {
        guard self.count > 0 else {
            throw GatewayError(.upstreamProtocol, "The upstream sent an empty picture.", billed: .yes)
        }
        guard self.expected.map({ $0 == self.count }) ?? true else {
            throw GatewayError(.upstreamTruncated, "The upstream's picture ended early.", billed: .yes)
        }
        self.encoder.finish(into: &self.text)
        return self.text
    }

    private static let tooLarge = GatewayError(
        .upstreamTooLarge, "The upstream's picture is larger than the gateway accepts.", billed: .yes)
}
