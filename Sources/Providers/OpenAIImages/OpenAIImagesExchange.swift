import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One call, answered by a stream of pictures or by one document.
///
/// A stream is over when as many pictures have come as were asked for and it ends; EOF before that is a failure, since the
/// protocol has no other end mark. Once all pictures are there, the end is waited for only briefly: the connection is
/// then kept, but no client waits for an upstream that lingers.
struct OpenAIImagesExchange: ProviderExchange {
    private static let callNumber = 0
    private static let lingerTimer = 0
    /// How long an upstream may leave its stream open after the last picture.
    static let lingerMilliseconds = 2000

    private let call: ExchangeCall
    private let parameters: [String: String]
    private let maximumEventBytes: Int
    private let secret: String?

    private var tally: OpenAIImagesTally
    private var form: Form = .none
    private var decoder: ServerSentEventDecoder<JSONFieldScanner>?
    private var body: JSONBody?
    private var errorBody: ErrorBody?
    private var headers: HTTPFields = [:]
    private var isFinished = false
    private var isLingering = false

    private enum Form { case none, undecided, events, json, error }

    init(
        call: ExchangeCall, count: Int, parameters: [String: String], maximumEventBytes: Int,
        secret: String?
    ) {
        self.call = call
        self.parameters = parameters
        self.maximumEventBytes = maximumEventBytes
        self.secret = secret
        self.tally = OpenAIImagesTally(count: count)
    }

    mutating func start(into actions: inout ExchangeActions) {
        actions.append(.send(self.call, call: Self.callNumber))
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        self.headers = head.headers
        guard (200..<300).contains(head.status) else {
            self.form = .error
            self.errorBody = ErrorBody(head)
            return
        }
        self.tally.billed = .maybe
        switch ResponseForm(head.headers) {
        case .events: self.begin(.events)
        case .json: self.begin(.json)
        case .unknown: self.form = .undecided
        case .other:
            self.finish(
                GatewayError(
                    .upstreamProtocol, "The upstream's answer is neither an event stream nor JSON.", billed: .maybe,
                    upstreamStatus: head.status), abandoning: true, into: &actions)
            return
        }
        actions.append(.emit(.accepted))
        actions.append(.emit(.status(UpstreamStatus(stage: .processing))))
    }

    mutating func received(bytes: UnsafeRawBufferPointer, call: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        if self.form == .undecided, let first = bytes.first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
            self.begin(first == UInt8(ascii: "{") ? .json : .events)
        }
        do throws(GatewayError) {
            switch self.form {
            case .none, .undecided: break
            case .events: try self.decode(bytes, into: &actions)
            case .json: try self.body?.append(bytes)
            case .error:
                if self.errorBody?.append(bytes) == false { self.finishRefused(abandoning: true, into: &actions) }
            }
        } catch {
            self.finish(error.billed(atLeast: self.tally.billed), abandoning: true, into: &actions)
        }
    }

    mutating func ended(call: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        switch self.form {
        case .error: self.finishRefused(abandoning: false, into: &actions)
        case .json: self.finishDocument(into: &actions)
        case .none, .undecided, .events:
            self.finish(self.tally.conclude(into: &actions), abandoning: false, into: &actions)
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        if self.form == .error {
            self.finishRefused(abandoning: false, into: &actions)
        } else if self.tally.isComplete || self.tally.sawEnd {
            self.finish(self.tally.conclude(into: &actions), abandoning: false, into: &actions)
        } else {
            self.finish(error.billed(atLeast: self.tally.billed), abandoning: false, into: &actions)
        }
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished, timer == Self.lingerTimer else { return }
        self.finish(self.tally.conclude(into: &actions), abandoning: true, into: &actions)
    }

    /// The service has no call to cancel by: closing the connection is all there is.
    mutating func cancel(into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        self.finish(
            GatewayError(.cancelled, "The job was cancelled.", billed: self.tally.billed), abandoning: true,
            into: &actions)
    }
}

extension OpenAIImagesExchange {
    private mutating func begin(_ form: Form) {
        self.form = form
        if form == .events {
            self.decoder = ServerSentEventDecoder(
                limits: CodecLimits(maximumEventBytes: self.maximumEventBytes),
                scanner: JSONFieldScanner(OpenAIImagesField.paths, maximumNesting: 64))
        } else {
            self.body = JSONBody(OpenAIImagesField.paths, headers: self.headers, maximumBytes: self.maximumEventBytes)
        }
    }

    private mutating func decode(
        _ bytes: UnsafeRawBufferPointer, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        var rest = bytes
        while !self.isFinished, let frame = try self.nextFrame(&rest) {
            guard frame.data.readableBytes > 0, let scanner = self.decoder?.scanner else { continue }
            if OpenAIImagesEvent.isEndMark(frame) {
                self.tally.sawEnd = true
            } else {
                guard scanner.error == nil else {
                    throw GatewayError(.upstreamProtocol, "The upstream sent an event that is not valid JSON.")
                }
                let fields = OpenAIImagesFields(scanner: scanner, document: frame.data)
                if try self.tally.take(frame, fields: fields, into: &actions) == .failure {
                    self.finishFailed(by: frame, into: &actions)
                }
            }
            self.lingerIfOver(into: &actions)
        }
    }

    private mutating func nextFrame(
        _ bytes: inout UnsafeRawBufferPointer
    ) throws(GatewayError) -> ServerSentEventFrame? {
        do { return try self.decoder?.consume(&bytes) } catch { throw GatewayError(error) }
    }

    private mutating func lingerIfOver(into actions: inout ExchangeActions) {
        guard !self.isFinished, !self.isLingering, self.tally.isComplete || self.tally.sawEnd else { return }
        self.isLingering = true
        actions.append(.wait(milliseconds: Self.lingerMilliseconds, timer: Self.lingerTimer))
    }

    private mutating func finishFailed(by frame: ServerSentEventFrame, into actions: inout ExchangeActions) {
        guard !self.tally.isComplete else {
            self.finish(nil, abandoning: true, into: &actions)
            return
        }
        let report = UpstreamErrorReport(body: frame.data, status: nil)
        self.finish(self.error(from: report), abandoning: true, into: &actions)
    }

    /// A refusal before anything was drawn costs nothing.
    private func error(from report: UpstreamErrorReport) -> GatewayError {
        var error = report.gatewayError(billed: self.tally.billed, parameters: self.parameters, hiding: self.secret)
        if !self.tally.sawPicture, error.code == .refused || error.code == .invalidParameter { error.billed = .no }
        return error
    }

    private mutating func finishDocument(into actions: inout ExchangeActions) {
        guard var body = self.body.take() else { return }
        do throws(GatewayError) {
            let (document, scanner) = try body.finish()
            let fields = OpenAIImagesFields(scanner: scanner, document: document)
            if fields.hasError {
                let report = UpstreamErrorReport(body: document, status: nil)
                self.finish(self.error(from: report), abandoning: false, into: &actions)
                return
            }
            try self.tally.take(document: fields, into: &actions)
            self.finish(self.tally.conclude(into: &actions), abandoning: false, into: &actions)
        } catch {
            self.finish(error.billed(atLeast: self.tally.billed), abandoning: false, into: &actions)
        }
    }

    private mutating func finishRefused(abandoning: Bool, into actions: inout ExchangeActions) {
        guard let body = self.errorBody else { return }
        let error =
            (300..<400).contains(body.head.status)
            ? GatewayError(
                .upstreamProtocol, "The upstream answered with a redirect.", upstreamStatus: body.head.status)
            : body.report.gatewayError(
                billed: UpstreamErrorReport.billed(forStatus: body.head.status), parameters: self.parameters,
                hiding: self.secret)
        self.finish(error, abandoning: abandoning, into: &actions)
    }

    private mutating func finish(_ error: GatewayError?, abandoning: Bool, into actions: inout ExchangeActions) {
        self.isFinished = true
        self.decoder = nil
        self.body = nil
        if abandoning { actions.append(.abandon(call: Self.callNumber)) }
        actions.append(.finish(error))
    }
}
