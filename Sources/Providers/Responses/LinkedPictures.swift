import HTTPTypes
import ImageGeneration
import NIOCore

/// Pictures that an answer only names by a URL, fetched one after the other. Without key and headers: the address is not ours to
/// trust, and the driver decides whether it is called at all.
struct LinkedPictures: Sendable {
    struct Link: Sendable {
        var imageIndex: Int
        var url: String
        var attributes: UpstreamImageAttributes
        var revisedPrompt: String?
    }

    enum Outcome {
        case picture(UpstreamImage)
        case failed(imageIndex: Int, GatewayError)
        /// The link is worth another attempt after this many milliseconds.
        case again(Int)
    }

    private var waiting: [Link] = []
    private var answer: UpstreamAnswer?
    private var attempts = 0
    private let maximumBytes: Int

    private static let maximumAttempts = 3
    private static let maximumLinks = 64

    /// - Parameter maximumBytes: of one picture's base64.
    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// Nothing is left to be fetched.
    var isEmpty: Bool { self.waiting.isEmpty }
    var isFetching: Bool { self.answer != nil }
    /// The call under way.
    var call: Int? { self.answer?.call }
    /// Pictures that may still come.
    var indexes: [Int] { self.waiting.map(\.imageIndex) }

    mutating func add(_ link: Link) {
        if self.waiting.count < Self.maximumLinks { self.waiting.append(link) }
    }

    /// The request for the next picture, under this number; nil where there is none, or one is under way.
    mutating func next(call: Int) -> ExchangeCall? {
        guard self.answer == nil, let link = self.waiting.first else { return nil }
        self.answer = UpstreamAnswer(call: call, accepting: .picture, maximumBytes: self.maximumBytes)
        var request = ExchangeCall(method: .get, url: link.url, purpose: .resultURL)
        request.headers[.accept] = "image/*"
        request.maximumResponseBytes = self.maximumBytes / 4 * 3
        return request
    }

    mutating func take(_ head: ExchangeResponseHead) throws(GatewayError) { try self.answer?.take(head) }

    /// False: enough has been read to know how the call failed.
    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(GatewayError) -> Bool {
        try self.answer?.append(bytes) ?? true
    }

    /// The call is over, well or not.
    mutating func ended() -> Outcome {
        guard var answer = self.answer.take() else { return .again(0) }
        guard answer.form != .error else {
            let status = answer.status ?? 500
            return self.failed(
                GatewayError(
                    .upstreamError, "The upstream's picture could not be fetched: status \(status).",
                    upstreamStatus: status), isTransient: status >= 500 || status == 429 || status == 404)
        }
        do throws(GatewayError) {
            let payload = try answer.finishedPicture()
            let link = self.takeFirst()
            return .picture(
                UpstreamImage(
                    imageIndex: link.imageIndex, attributes: link.attributes, payload: payload,
                    revisedPrompt: link.revisedPrompt))
        } catch {
            return self.failed(error, isTransient: error.code == .upstreamTruncated)
        }
    }

    /// The call failed in transport, or its answer is no picture.
    mutating func failed(_ error: GatewayError) -> Outcome {
        self.answer = nil
        let isTransient: Bool =
            switch error.code {
            case .upstreamUnreachable, .upstreamTimeout, .upstreamStalled, .upstreamTruncated: true
            default: false
            }
        return self.failed(error, isTransient: isTransient)
    }

    private mutating func failed(_ error: GatewayError, isTransient: Bool) -> Outcome {
        self.attempts += 1
        guard !isTransient || self.attempts >= Self.maximumAttempts else { return .again(500 * self.attempts) }
        return .failed(imageIndex: self.takeFirst().imageIndex, error.billed(atLeast: .yes))
    }

    private mutating func takeFirst() -> Link {
        self.attempts = 0
        return self.waiting.removeFirst()
    }
}
