import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// One call, answered by a stream of pictures or by one document.
///
/// A stream is over when as many pictures have come as were asked for and it ends; EOF before that is a failure, since the
/// protocol has no other end mark. Once all pictures are there, the end is waited for only briefly: the connection is
/// then kept, but no client waits for an upstream that lingers. Pictures that were only named by a URL are fetched beside it.
struct OpenAIImagesExchange: ProviderExchange {
    private static let callNumber = 0
    private static let lingerTimer = 0
    private static let linkTimer = 1
    /// How long an upstream may leave its stream open after the last picture.
    static let lingerMilliseconds = 2000

    private let call: ExchangeCall
    /// What the call was written from.
    private let source: OpenAIImagesRequestBody

    private var tally: OpenAIImagesTally
    private var form: Form = .none
    private var decoder: ServerSentEventDecoder<JSONFieldScanner>?
    private var body: JSONBody?
    private var errorBody: ErrorBody?
    private var headers: HTTPFields = [:]
    private var isFinished = false
    private var isLingering = false
    /// The answer is over; links may still be followed.
    private var isAnswered = false
    /// What the answer ended with, if not well.
    private var answerError: GatewayError?
    private var calls = 1

    private enum Form { case none, undecided, events, json, error }

    init(call: ExchangeCall, body: OpenAIImagesRequestBody) {
        self.call = call
        self.source = body
        self.tally = OpenAIImagesTally(count: body.request.count, configuration: body.configuration)
    }

    private var maximumEventBytes: Int { self.source.configuration.maximumEventBytes }
    private var secret: String? { self.source.configuration.apiKey }

    mutating func start(into actions: inout ExchangeActions) {
        actions.append(.send(self.call, call: Self.callNumber))
    }

    mutating func received(head: ExchangeResponseHead, call: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        guard call == Self.callNumber else { return self.linkReceived(head, call, into: &actions) }
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
        guard call == Self.callNumber else { return self.linkReceived(bytes, call, into: &actions) }
        guard !self.isAnswered else { return }
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
        guard call == Self.callNumber else { return self.linkEnded(call, into: &actions) }
        guard !self.isAnswered else { return }
        switch self.form {
        case .error: self.finishRefused(abandoning: false, into: &actions)
        case .json: self.finishDocument(into: &actions)
        case .none, .undecided, .events:
            self.answered(nil, abandoning: false, into: &actions)
        }
    }

    mutating func failed(call: Int, error: GatewayError, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        guard call == Self.callNumber else {
            guard self.tally.links.call == call else { return }
            return self.take(self.tally.links.failed(error), into: &actions)
        }
        guard !self.isAnswered else { return }
        if self.form == .error {
            self.finishRefused(abandoning: false, into: &actions)
        } else if self.tally.isComplete || self.tally.sawEnd {
            self.answered(nil, abandoning: false, into: &actions)
        } else if !self.tally.links.isEmpty {
            self.answered(error.billed(atLeast: self.tally.billed), abandoning: false, into: &actions)
        } else {
            self.finish(error.billed(atLeast: self.tally.billed), abandoning: false, into: &actions)
        }
    }

    mutating func timerFired(_ timer: Int, into actions: inout ExchangeActions) {
        guard !self.isFinished else { return }
        if timer == Self.linkTimer {
            self.followLinks(into: &actions)
        } else if !self.isAnswered {
            self.answered(nil, abandoning: true, into: &actions)
        }
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
        self.decoder?.beginRead(bytes)
        defer { self.decoder?.endRead() }
        while !self.isFinished, !self.isAnswered, let frame = try self.nextFrame(&rest) {
            guard frame.data.readableBytes > 0 else { continue }
            if OpenAIImagesEvent.isEndMark(frame) {
                self.tally.sawEnd = true
            } else {
                guard let findings = self.decoder?.scanner.validFindings else {
                    throw GatewayError(.upstreamProtocol, "The upstream sent an event that is not valid JSON.")
                }
                let fields = OpenAIImagesFields(findings, document: frame.data)
                if try self.tally.take(frame, fields: fields, into: &actions) == .failure {
                    self.finishFailed(by: frame, into: &actions)
                }
            }
            self.followLinks(into: &actions)
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
        let error = self.error(from: UpstreamErrorReport(body: frame.data, status: nil))
        guard self.tally.links.isEmpty else { return self.answered(error, abandoning: true, into: &actions) }
        self.finish(error, abandoning: true, into: &actions)
    }

    /// A refusal before anything was drawn costs nothing.
    private func error(from report: UpstreamErrorReport) -> GatewayError {
        var error = report.gatewayError(
            billed: self.tally.billed, parameters: self.source.clientParameters, hiding: self.secret)
        if !self.tally.sawPicture, error.code == .refused || error.code == .invalidParameter { error.billed = .no }
        return error
    }

    private mutating func finishDocument(into actions: inout ExchangeActions) {
        guard var body = self.body.take() else { return }
        do throws(GatewayError) {
            let (document, scanner) = try body.finish()
            let fields = OpenAIImagesFields(scanner.findings, document: document)
            if fields.hasError {
                let report = UpstreamErrorReport(body: document, status: nil)
                self.finish(self.error(from: report), abandoning: false, into: &actions)
                return
            }
            try self.tally.take(document: fields, into: &actions)
            self.answered(nil, abandoning: false, into: &actions)
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
                billed: UpstreamErrorReport.billed(forStatus: body.head.status),
                parameters: self.source.clientParameters,
                hiding: self.secret)
        self.finish(error, abandoning: abandoning, into: &actions)
    }

    private mutating func finish(_ error: GatewayError?, abandoning: Bool, into actions: inout ExchangeActions) {
        self.isFinished = true
        self.decoder = nil
        self.body = nil
        if abandoning, !self.isAnswered { actions.append(.abandon(call: Self.callNumber)) }
        if let call = self.tally.links.call { actions.append(.abandon(call: call)) }
        actions.append(.finish(error))
    }
}

// MARK: Links

extension OpenAIImagesExchange {
    /// The answer is over: what it only named is fetched before the job ends.
    private mutating func answered(_ error: GatewayError?, abandoning: Bool, into actions: inout ExchangeActions) {
        guard !self.tally.links.isEmpty else {
            let ending = error ?? self.tally.conclude(into: &actions)
            return self.finish(ending, abandoning: abandoning, into: &actions)
        }
        if abandoning { actions.append(.abandon(call: Self.callNumber)) }
        self.isAnswered = true
        self.answerError = error
        self.decoder = nil
        self.followLinks(into: &actions)
    }

    private mutating func followLinks(into actions: inout ExchangeActions) {
        guard !self.isFinished, let request = self.tally.links.next(call: self.calls) else { return }
        actions.append(.send(request, call: self.calls))
        self.calls += 1
    }

    private mutating func linkReceived(
        _ head: ExchangeResponseHead, _ call: Int, into actions: inout ExchangeActions
    ) {
        guard self.tally.links.call == call else { return }
        do throws(GatewayError) { try self.tally.links.take(head) } catch {
            actions.append(.abandon(call: call))
            self.take(self.tally.links.failed(error), into: &actions)
        }
    }

    private mutating func linkReceived(
        _ bytes: UnsafeRawBufferPointer, _ call: Int, into actions: inout ExchangeActions
    ) {
        guard self.tally.links.call == call else { return }
        do throws(GatewayError) {
            guard try !self.tally.links.append(bytes) else { return }
            actions.append(.abandon(call: call))
            self.take(self.tally.links.ended(), into: &actions)
        } catch {
            actions.append(.abandon(call: call))
            self.take(self.tally.links.failed(error), into: &actions)
        }
    }

    private mutating func linkEnded(_ call: Int, into actions: inout ExchangeActions) {
        guard self.tally.links.call == call else { return }
        self.take(self.tally.links.ended(), into: &actions)
    }

    private mutating func take(_ outcome: LinkedPictures.Outcome, into actions: inout ExchangeActions) {
        if let milliseconds = self.tally.take(outcome, into: &actions) {
            actions.append(.wait(milliseconds: milliseconds, timer: Self.linkTimer))
            return
        }
        guard self.isAnswered, self.tally.links.isEmpty else { return self.followLinks(into: &actions) }
        let ending = self.tally.isComplete ? nil : self.answerError ?? self.tally.conclude(into: &actions)
        self.finish(ending, abandoning: false, into: &actions)
    }
}
