import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// What arrives for one call of a queue exchange, in whichever form it comes.
struct QueueResponse {
    enum Purpose: Equatable {
        case submit, status, events, result, cancel
        /// Of the picture at an index of the results.
        case picture(Int)
    }

    let call: Int
    let purpose: Purpose
    private(set) var form: Form = .none

    private var decoder: ServerSentEventDecoder<JSONFieldScanner>?
    private var body: JSONBody?
    private var bytes: ByteBuffer?
    private var isSniffed = false
    private var errorBody: ErrorBody?
    private let maximumBytes: Int
    private let takesPictures: Bool
    private let paths: JSONFieldPaths
    private var head: ExchangeResponseHead?

    enum Form { case none, undecided, events, json, bytes, error, ignored }

    /// - Parameter takesPictures: a picture was asked for where there usually is a document.
    init(
        call: Int, purpose: Purpose, paths: JSONFieldPaths, maximumBytes: Int, takesPictures: Bool = false
    ) {
        self.call = call
        self.takesPictures = takesPictures
        self.purpose = purpose
        self.paths = paths
        self.maximumBytes = maximumBytes
    }

    var status: Int? { self.head?.status }

    /// Of a success as of a failure.
    var retryAfterMilliseconds: Int? { self.head.flatMap { RetryAfter.milliseconds($0.headers) } }

    /// - Throws: `upstream_protocol` where the body is of no use for the purpose.
    mutating func take(_ head: ExchangeResponseHead) throws(GatewayError) {
        self.head = head
        guard self.purpose != .cancel else {
            self.form = .ignored
            return
        }
        guard (200..<300).contains(head.status) else {
            self.form = .error
            self.errorBody = ErrorBody(head)
            return
        }
        let form = ResponseForm(head.headers)
        if self.isPicture(head) {
            try self.beginPicture(head)
            return
        }
        switch form {
        case .events where self.purpose == .submit || self.purpose == .events: self.begin(.events)
        case .json where self.purpose != .events: self.begin(.json)
        case .unknown: self.form = .undecided
        default:
            throw GatewayError(
                .upstreamProtocol, "The upstream's answer is not in a form it is known to use.", billed: .maybe)
        }
    }

    /// Services may answer the question for a job by the picture itself, to those who ask for one.
    private func isPicture(_ head: ExchangeResponseHead) -> Bool {
        switch self.purpose {
        case .picture: true
        case .status, .result:
            self.takesPictures && head.headers[.contentType]?.lowercased().hasPrefix("image/") ?? false
        case .submit, .events, .cancel: false
        }
    }

    /// What the head calls the picture is not asked: its bytes say what it is.
    private mutating func beginPicture(_ head: ExchangeResponseHead) throws(GatewayError) {
        guard head.status == 200 else { throw Self.noPicture }
        let expected = head.headers[.contentLength].flatMap { Int($0) } ?? 0
        guard expected <= self.maximumPictureBytes else { throw self.pictureTooLarge }
        self.form = .bytes
        self.bytes = ByteBufferAllocator().buffer(capacity: min(max(expected, 0), 16 << 20))
    }

    private static var noPicture: GatewayError {
        GatewayError(.imageRefused, "The upstream's link leads to something that is no picture.", billed: .yes)
    }

    private mutating func begin(_ form: Form) {
        self.form = form
        if form == .events {
            self.decoder = ServerSentEventDecoder(
                limits: CodecLimits(maximumEventBytes: self.maximumBytes),
                scanner: JSONFieldScanner(self.paths, maximumNesting: 64))
        } else {
            self.body = JSONBody(self.paths, headers: self.head?.headers ?? [:], maximumBytes: self.maximumBytes)
        }
    }

    /// Gathers whatever is no event stream. False: enough has been read to know how the call failed.
    mutating func append(_ piece: UnsafeRawBufferPointer) throws(GatewayError) -> Bool {
        if self.form == .undecided, let first = piece.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
            self.begin(first == UInt8(ascii: "{") ? .json : .events)
        }
        switch self.form {
        case .json: try self.body?.append(piece)
        case .error: return self.errorBody?.append(piece) ?? true
        case .bytes:
            guard piece.count <= self.maximumPictureBytes - (self.bytes?.readableBytes ?? 0) else {
                throw self.pictureTooLarge
            }
            self.bytes?.writeBytes(piece)
            try self.sniff()
        case .none, .undecided, .events, .ignored: break
        }
        return true
    }

    /// Looks at the signature as soon as it is there, so that no page or archive is fetched to its end.
    private mutating func sniff() throws(GatewayError) {
        guard !self.isSniffed, let bytes = self.bytes, bytes.readableBytes >= Self.signatureBytes else { return }
        self.isSniffed = true
        guard ImageHeader.format(of: bytes) != nil else { throw Self.noPicture }
    }

    /// Enough for every format's signature, with the list of brands that avif may need.
    private static let signatureBytes = 256

    /// The next whole event, with its scanner still holding what was found in it.
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
    mutating func picture() throws(GatewayError) -> ByteBuffer {
        guard let bytes = self.bytes.take(), bytes.readableBytes > 0 else {
            throw GatewayError(.upstreamProtocol, "The upstream's link leads to an empty picture.", billed: .yes)
        }
        let headers = self.head?.headers ?? [:]
        if headers[.contentEncoding] == nil, let expected = headers[.contentLength].flatMap({ Int($0) }),
            expected != bytes.readableBytes
        {
            throw GatewayError(.upstreamTruncated, "The upstream's picture ended early.", billed: .yes)
        }
        guard self.isSniffed || ImageHeader.format(of: bytes) != nil else { throw Self.noPicture }
        return Base64.encode(bytes)
    }

    var failure: UpstreamErrorReport { self.errorBody?.report ?? UpstreamErrorReport(status: self.status) }

    /// So that its base64 stays within the event bound.
    var maximumPictureBytes: Int { self.maximumBytes / 4 * 3 }

    private var pictureTooLarge: GatewayError {
        GatewayError(.upstreamTooLarge, "The upstream's picture is larger than the gateway accepts.", billed: .yes)
    }
}
