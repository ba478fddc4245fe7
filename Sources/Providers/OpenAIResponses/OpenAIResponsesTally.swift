import ImageGeneration
import NIOCore
import StreamCodecs

/// Which pictures have come, under which index, what was said beside them, and what that may have cost.
///
/// The same picture arrives up to three times: in a last preview, with its item, and in the response object at the end. It is taken
/// from the item, and known again by the item's id.
struct OpenAIResponsesTally: Sendable {
    let count: Int
    private let wish: ImageRequest.PictureWish
    private let wantsPreviews: Bool
    private let secret: String?

    /// Picture indexes by item, in the order the items were first seen.
    private var indexes: [String: Int] = [:]
    /// Items whose picture has come or failed.
    private var settled: Set<String> = []
    private var finished: Set<Int> = []
    private var failures: [Int: GatewayError] = [:]
    private var namedModel = false
    private var sawText = false
    private var refusal: String?
    var billed: GatewayError.Billed = .no

    /// Items of which an index is remembered.
    private static let maximumItems = 64

    init(request: ImageRequest, secret: String?) {
        self.count = max(1, request.count)
        self.wish = request.picture
        self.wantsPreviews = (request.partialImages ?? 0) > 0
        self.secret = secret
    }

    /// All pictures asked for are here.
    var isComplete: Bool { self.finished.count >= self.count }

    mutating func takePartial(
        _ reply: OpenAIResponsesReply, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        let key = reply.itemKey
        guard self.wantsPreviews, !self.settled.contains(key), let index = self.index(of: key), index < self.count,
            let field = reply.field(.partialImage), field.kind == .string, !field.range.isEmpty
        else { return }
        let number = min(max(reply.integer(reply.field(.partialImageIndex)) ?? 0, 0), 1 << 20)
        actions.append(
            .emit(
                .partialImage(
                    imageIndex: index, partialImageIndex: number, attributes: reply.attributes,
                    payload: try UpstreamPicture.canonical(field, in: reply.document))))
    }

    /// An item that is done. Whether it holds a picture tells more than its status, which some services leave behind.
    mutating func take(
        _ item: OpenAIResponsesItem, of reply: OpenAIResponsesReply, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        guard item.isPicture(in: reply.document), !self.settled.contains(item.key),
            self.settled.count < Self.maximumItems, let index = self.index(of: item.key)
        else { return }
        guard let result = item[.result], result.kind == .string, !result.range.isEmpty else {
            self.settled.insert(item.key)
            return self.fail(index, self.failure(of: item, reply), item: item.key, into: &actions)
        }
        self.billed = .yes
        guard index < self.count else { return }
        let payload = try UpstreamPicture.canonical(result, in: reply.document)
        self.settled.insert(item.key)
        self.finished.insert(index)
        self.failures[index] = nil
        let image = UpstreamImage(
            imageIndex: index,
            attributes: UpstreamImageAttributes(
                size: reply.text(item[.size]), quality: reply.text(item[.quality]),
                background: reply.text(item[.background]), outputFormat: reply.text(item[.outputFormat])),
            payload: payload,
            revisedPrompt: reply.text(item[.revisedPrompt], limit: 64 << 10))
        actions.append(.emit(.image(image)))
    }

    private func failure(of item: OpenAIResponsesItem, _ reply: OpenAIResponsesReply) -> GatewayError {
        guard let report = reply.report(item[.error]) else {
            return GatewayError(.noImage, "The upstream finished without a picture.", billed: .maybe)
        }
        return self.error(from: report)
    }

    /// A refusal before anything was drawn costs no picture, though the model's tokens may.
    func error(from report: UpstreamErrorReport, parameters: [String: String] = [:]) -> GatewayError {
        report.gatewayError(billed: self.billed, parameters: parameters, hiding: self.secret, readsWords: true)
    }

    mutating func takeText(_ reply: OpenAIResponsesReply, into actions: inout ExchangeActions) {
        guard let delta = reply.text(reply.field(.delta), limit: 1 << 20), !delta.isEmpty else { return }
        self.sawText = true
        actions.append(.emit(.textDelta(delta)))
    }

    /// The model declines in words.
    mutating func takeRefusal(_ reply: OpenAIResponsesReply) {
        self.refusal = reply.text(reply.field(.refusal), limit: 64 << 10) ?? ""
    }

    mutating func nameModel(_ reply: OpenAIResponsesReply, into actions: inout ExchangeActions) {
        guard !self.namedModel, let model = reply.text(reply.field(.model)) else { return }
        let label = UpstreamText.label(model, length: 128)
        guard !label.isEmpty else { return }
        self.namedModel = true
        actions.append(.emit(.model(label)))
    }

    /// The index of an item's picture; nil for one item too many.
    private mutating func index(of key: String) -> Int? {
        if let known = self.indexes[key] { return known }
        guard self.indexes.count < Self.maximumItems else { return nil }
        let taken = Set(self.indexes.values)
        let index = (0...self.indexes.count).first { !taken.contains($0) } ?? self.indexes.count
        self.indexes[key] = index
        return index
    }

    private mutating func fail(
        _ index: Int, _ error: GatewayError, item key: String?, into actions: inout ExchangeActions
    ) {
        // The next item may draw what this one could not.
        if let key { self.indexes[key] = nil }
        guard index < self.count, self.failures.updateValue(error, forKey: index) == nil else { return }
        actions.append(.emit(.imageFailed(imageIndex: index, error)))
    }
}

// MARK: The end

extension OpenAIResponsesTally {
    /// How a response ended.
    enum End {
        case success
        case failure(GatewayError)
    }

    /// A whole response object.
    /// - Returns: nil while the work goes on.
    mutating func take(
        object reply: OpenAIResponsesReply, into actions: inout ExchangeActions
    ) throws(GatewayError) -> End? {
        let status = reply.text(reply.field(.status)) ?? ""
        self.nameModel(reply, into: &actions)
        if status == "queued" || status == "in_progress" { return nil }
        for item in reply.items { try self.take(item, of: reply, into: &actions) }
        if let usage = reply.usage {
            self.billed = .yes
            actions.append(.emit(.usage(usage)))
        }
        switch status {
        case "completed": return self.conclude(into: &actions)
        case "failed":
            return self.end(by: reply.report(reply.field(.error)).map { self.error(from: $0) }, into: &actions)
        case "incomplete": return self.end(by: self.incomplete(reply), into: &actions)
        case "cancelled":
            return self.end(
                by: GatewayError(.upstreamError, "The job was cancelled at the upstream.", billed: .maybe),
                into: &actions)
        default:
            // A status of its own that holds all pictures is as good as success.
            return self.isComplete ? .success : nil
        }
    }

    private func incomplete(_ reply: OpenAIResponsesReply) -> GatewayError {
        let reason = reply.text(reply.field(.reason)) ?? ""
        if reason == "content_filter" {
            return GatewayError(.refused, "The upstream's moderation refused the request.", billed: self.billed)
        }
        let shown = UpstreamText.label(reason)
        return GatewayError(
            .upstreamError, "The upstream stopped before it was done\(shown.isEmpty ? "" : ": \(shown)").",
            billed: self.billed)
    }

    /// What the job ends with when the upstream says that it is done.
    private mutating func conclude(into actions: inout ExchangeActions) -> End {
        if self.isComplete { return .success }
        if self.finished.isEmpty, self.failures.isEmpty, self.wish != .always, self.sawText || self.refusal != nil {
            return .success
        }
        if let refusal = self.refusal {
            let shown = UpstreamText.clean(refusal, hiding: self.secret)
            return self.end(
                by: GatewayError(.refused, shown ?? "The upstream's model refused the request.", billed: self.billed),
                into: &actions)
        }
        let words =
            self.sawText
            ? "The upstream answered in words and drew no picture." : "The upstream finished without a picture."
        return self.end(by: GatewayError(.noImage, words, billed: self.billed), into: &actions)
    }

    /// Pictures that are here stay; those missing are told as failed.
    mutating func end(by error: GatewayError?, into actions: inout ExchangeActions) -> End {
        let error = error ?? GatewayError(.upstreamError, "The upstream reported an error.", billed: self.billed)
        if self.isComplete { return .success }
        guard !self.finished.isEmpty else {
            return .failure((self.failures.min { $0.key < $1.key }?.value ?? error).billed(atLeast: self.billed))
        }
        for index in 0..<self.count where !self.finished.contains(index) && self.failures[index] == nil {
            self.fail(index, error.billed(atLeast: self.billed), item: nil, into: &actions)
        }
        return .success
    }
}
