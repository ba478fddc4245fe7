import ImageGeneration
import NIOCore
import StreamCodecs

/// What has come of one answer: drafts, pictures, words, and why it ended.
struct GeminiTally: Sendable {
    let count: Int
    private let wish: ImageRequest.PictureWish
    private let wantsPreviews: Bool
    private let secret: String?

    private var finished = 0
    private var drafts = 0
    private var sawText = false
    private var namedModel = false
    private var usage: Usage?
    private(set) var finishReason: String?
    private var block: (reason: String, message: String?)?
    private(set) var isGenerating = false
    var billed: GatewayError.Billed = .no

    init(request: ImageRequest, secret: String?) {
        self.count = max(1, request.count)
        self.wish = request.picture
        self.wantsPreviews = (request.partialImages ?? 0) > 0
        self.secret = secret
    }

    /// All pictures asked for are here.
    var isComplete: Bool { self.finished >= self.count }
    /// The upstream has said that it is done, and why.
    var sawEnd: Bool { self.finishReason != nil || self.block != nil }

    mutating func take(_ reply: GeminiReply, into actions: inout ExchangeActions) throws(GatewayError) {
        self.nameModel(reply, into: &actions)
        if let type = reply.text(reply.field(.eventType)) { return try self.take(reply, type, into: &actions) }
        for part in reply.parts { try self.take(part, of: reply, into: &actions) }
        self.usage = reply.usage ?? self.usage
        self.finishReason = reply.finishReason ?? self.finishReason
        if let reason = reply.text(reply.field(.blockReason)) {
            self.block = (reason, reply.text(reply.field(.blockMessage), limit: 64 << 10))
        }
    }

    /// An event of the Interactions API, whose last one says how it ended.
    private mutating func take(
        _ reply: GeminiReply, _ type: String, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        switch type {
        case "step.delta": try self.take(reply.delta, of: reply, into: &actions)
        case "interaction.completed":
            self.usage = reply.usage ?? self.usage
            let status = reply.text(reply.field(.interactionStatus)) ?? ""
            self.finishReason = status == "completed" ? "STOP" : status
        case "interaction.created", "interaction.status_update", "step.start", "step.stop": break
        default: actions.append(.emit(.unknownEvent(type: UpstreamText.label(type))))
        }
    }

    private mutating func take(
        _ part: GeminiReply.Part, of reply: GeminiReply, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        if !self.isGenerating, part.data != nil || part.isThought {
            self.isGenerating = true
            actions.append(.emit(.status(UpstreamStatus(stage: .generating))))
        }
        if let data = part.data, data.kind == .string, !data.range.isEmpty {
            try self.takePicture(data, part, of: reply, into: &actions)
        } else if !part.isThought, let text = reply.text(part.text, limit: 1 << 20), !text.isEmpty {
            self.sawText = true
            actions.append(.emit(.textDelta(text)))
        }
    }

    /// A picture among the thoughts is a draft; any other is a result.
    private mutating func takePicture(
        _ data: JSONField, _ part: GeminiReply.Part, of reply: GeminiReply, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        let index = self.finished
        guard index < self.count, !part.isThought || self.wantsPreviews else { return }
        let type = reply.text(part.mimeType) ?? ""
        let format = ImageFormat.allCases.first { $0.mediaType == type.lowercased() }
        let attributes = UpstreamImageAttributes(outputFormat: format?.rawValue)
        let payload = try UpstreamPicture.canonical(data, in: reply.document)
        if part.isThought {
            actions.append(
                .emit(
                    .partialImage(
                        imageIndex: index, partialImageIndex: self.drafts, attributes: attributes, payload: payload)))
            self.drafts += 1
        } else {
            self.finished += 1
            self.drafts = 0
            self.billed = .yes
            actions.append(
                .emit(.image(UpstreamImage(imageIndex: index, attributes: attributes, payload: payload))))
        }
    }

    private mutating func nameModel(_ reply: GeminiReply, into actions: inout ExchangeActions) {
        guard !self.namedModel,
            let model = reply.text(reply.field(.modelVersion) ?? reply.field(.interactionModel))
        else { return }
        let label = UpstreamText.label(model, length: 128)
        guard !label.isEmpty else { return }
        self.namedModel = true
        actions.append(.emit(.model(label)))
    }
}

// MARK: The end

extension GeminiTally {
    /// What the job ends with once nothing more will come.
    mutating func conclude(into actions: inout ExchangeActions) -> GatewayError? {
        if let usage = self.usage, self.block == nil {
            self.usage = nil
            actions.append(.emit(.usage(usage)))
        }
        guard !self.isComplete else { return nil }
        let error = self.error
        if error == nil || self.finished == 0 { return error }
        for index in self.finished..<self.count {
            actions.append(.emit(.imageFailed(imageIndex: index, error ?? Self.noImage)))
        }
        return nil
    }

    private static let noImage = GatewayError(.noImage, "The upstream finished without a picture.", billed: .maybe)

    /// Nil where words are as good as a picture.
    private var error: GatewayError? {
        if let block = self.block {
            let shown = UpstreamText.clean(block.message, hiding: self.secret)
            return GatewayError(
                .refused,
                shown ?? "The upstream's moderation refused the prompt: \(UpstreamText.label(block.reason)).")
        }
        guard let reason = self.finishReason else {
            return GatewayError(
                .upstreamTruncated, "The upstream's stream ended before the picture was complete.", billed: self.billed)
        }
        let label = UpstreamText.label(reason)
        switch reason {
        case "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
            return GatewayError(
                .refused, "The upstream's moderation refused the picture: \(label).", billed: self.billed)
        case "STOP" where self.sawText && self.wish != .always: return nil
        case "STOP" where self.sawText:
            return GatewayError(
                .noImage, "The upstream answered in words and drew no picture.", billed: self.billed)
        case "STOP", "NO_IMAGE": return Self.noImage.billed(atLeast: self.billed)
        case "MAX_TOKENS":
            return GatewayError(
                .upstreamError, "The upstream ran out of tokens before the picture was complete.", billed: self.billed)
        default:
            return GatewayError(
                .noImage, "The upstream finished without a picture: \(label).", billed: self.billed)
        }
    }
}
