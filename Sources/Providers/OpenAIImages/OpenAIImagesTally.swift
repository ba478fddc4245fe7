import ImageGeneration
import NIOCore
import StreamCodecs

/// Which pictures have come, under which index, and what that may have cost.
///
/// The schema has no picture index: pictures are numbered in the order they complete, unless the upstream says `image_index`.
struct OpenAIImagesTally: Sendable {
    let count: Int
    /// Pictures that are only named by a URL, as by some look-alikes.
    var links: LinkedPictures
    private let baseURL: String
    /// Never shown.
    private let secret: String?

    private var finished: Set<Int> = []
    private var failures: [Int: GatewayError] = [:]
    private var namedModel = false
    /// A preview or a picture has come.
    private(set) var sawPicture = false
    /// The upstream has said that it is done.
    var sawEnd = false
    var billed: GatewayError.Billed = .no

    enum Outcome { case taken, failure }

    init(count: Int, configuration: ProviderConfiguration) {
        self.count = max(1, count)
        self.baseURL = configuration.baseURL
        self.secret = configuration.apiKey
        self.links = LinkedPictures(maximumBytes: configuration.maximumEventBytes)
    }

    /// All pictures asked for are here.
    var isComplete: Bool { self.finished.count >= self.count }

    /// Of each picture it is known whether it came or failed.
    private var isAccountedFor: Bool {
        (0..<self.count).allSatisfy { self.finished.contains($0) || self.failures[$0] != nil }
    }

    /// - Returns: `failure` when the frame reports the end of the whole job by an error.
    mutating func take(
        _ frame: ServerSentEventFrame, fields: OpenAIImagesFields, into actions: inout ExchangeActions
    ) throws(GatewayError) -> Outcome {
        self.nameModel(fields, into: &actions)
        switch OpenAIImagesEvent.of(frame, fields: fields) {
        case .partialImage: try self.takePartial(fields, into: &actions)
        case .completed: try self.takeCompleted(fields, into: &actions)
        case .imageSucceeded: try self.takePicture(fields, into: &actions)
        case .imageFailed: self.takeFailure(fields, into: &actions)
        case .error: return .failure
        case .unknown(let type): actions.append(.emit(.unknownEvent(type: type)))
        }
        return .taken
    }

    private mutating func takePartial(
        _ fields: OpenAIImagesFields, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        let imageIndex = self.imageIndex(fields)
        guard imageIndex < self.count, !self.finished.contains(imageIndex),
            let payload = fields.payload(fields.field(.payload), fields.field(.url))
        else { return }
        let index = min(max(fields.integer(.partialImageIndex) ?? 0, 0), 1 << 20)
        self.sawPicture = true
        actions.append(
            .emit(
                .partialImage(
                    imageIndex: imageIndex, partialImageIndex: index, attributes: fields.attributes,
                    payload: try UpstreamPicture.canonical(payload, in: fields.document))))
    }

    private mutating func takeCompleted(
        _ fields: OpenAIImagesFields, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        if fields.payload(fields.field(.payload), fields.field(.url)) != nil || fields.field(.url)?.kind == .string {
            return try self.takePicture(fields, into: &actions)
        }
        // Without a picture it is not success: some look-alikes end the job with it, others have nothing to show.
        self.sawEnd = true
        if let usage = fields.usage {
            self.billed = .yes
            actions.append(.emit(.usage(usage)))
        }
    }

    private mutating func takePicture(
        _ fields: OpenAIImagesFields, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        let index = self.imageIndex(fields)
        self.billed = .yes
        guard index < self.count, !self.finished.contains(index) else { return }
        guard let payload = fields.payload(fields.field(.payload), fields.field(.url)) else {
            return self.follow(
                fields.field(.url), index, fields, prompt: fields.field(.revisedPrompt), into: &actions)
        }
        let image = UpstreamImage(
            imageIndex: index, attributes: fields.attributes,
            payload: try UpstreamPicture.canonical(payload, in: fields.document), usage: fields.usage,
            revisedPrompt: fields.longText(fields.field(.revisedPrompt)))
        self.finish(image, into: &actions)
    }

    private mutating func takeFailure(_ fields: OpenAIImagesFields, into actions: inout ExchangeActions) {
        let index = self.imageIndex(fields)
        guard index < self.count, !self.finished.contains(index) else { return }
        let error = UpstreamErrorReport(body: fields.document, status: nil)
            .gatewayError(billed: self.billed, hiding: self.secret)
        self.fail(index, error, into: &actions)
    }
}

// MARK: One document

extension OpenAIImagesTally {
    mutating func take(
        document fields: OpenAIImagesFields, into actions: inout ExchangeActions
    ) throws(GatewayError) {
        self.nameModel(fields, into: &actions)
        self.sawEnd = true
        let attributes = fields.attributes
        let payloads = Self.byElement(fields.findings.all(OpenAIImagesField.documentPayload.rawValue))
        let links = Self.byElement(fields.findings.all(OpenAIImagesField.documentURL.rawValue))
        let prompts = Self.byElement(fields.findings.all(OpenAIImagesField.documentRevisedPrompt.rawValue))
        let items = fields.findings.all(OpenAIImagesField.documentItem.rawValue)
        if let usage = fields.usage {
            self.billed = .yes
            actions.append(.emit(.usage(usage)))
        }
        for index in 0..<min(self.count, items.count) {
            if let payload = fields.payload(payloads[index], links[index]) {
                let image = UpstreamImage(
                    imageIndex: index, attributes: attributes,
                    payload: try UpstreamPicture.canonical(payload, in: fields.document),
                    revisedPrompt: fields.longText(prompts[index]))
                self.finish(image, into: &actions)
            } else {
                self.follow(links[index], index, fields, prompt: prompts[index], into: &actions)
            }
        }
    }

    private static func byElement(_ fields: [JSONField]) -> [Int: JSONField] {
        Dictionary(fields.map { ($0.elements.0, $0) }, uniquingKeysWith: { $1 })
    }
}

// MARK: The end

extension OpenAIImagesTally {
    /// What the job ends with once nothing more will come; pictures that the upstream left out are told as failed.
    mutating func conclude(into actions: inout ExchangeActions) -> GatewayError? {
        guard !self.isComplete else { return nil }
        guard self.sawEnd || self.isAccountedFor else {
            return GatewayError(
                .upstreamTruncated, "The upstream's stream ended before the picture was complete.", billed: self.billed)
        }
        guard !self.finished.isEmpty else {
            return (self.failures.min { $0.key < $1.key }?.value ?? Self.noImage).billed(atLeast: self.billed)
        }
        for index in 0..<self.count where !self.finished.contains(index) && self.failures[index] == nil {
            self.fail(index, Self.noImage.billed(atLeast: self.billed), into: &actions)
        }
        return nil
    }

    private static let noImage = GatewayError(.noImage, "The upstream finished without a picture.", billed: .maybe)

    /// Remembers a link to fetch the picture by.
    private mutating func follow(
        _ link: JSONField?, _ index: Int, _ fields: OpenAIImagesFields, prompt: JSONField?,
        into actions: inout ExchangeActions
    ) {
        guard let link, link.kind == .string, !link.range.isEmpty else {
            return self.fail(index, Self.noImage, into: &actions)
        }
        guard link.range.count <= QueueURL.maximumLength,
            let named = JSONValueReader.string(link, in: fields.document),
            let url = QueueURL.resolved(named, base: self.baseURL)
        else {
            let error = GatewayError(
                .resultURLRefused, "The upstream named a picture by something that is no web address.", billed: .yes)
            return self.fail(index, error, into: &actions)
        }
        guard !self.links.indexes.contains(index) else { return }
        self.links.add(
            LinkedPictures.Link(
                imageIndex: index, url: url, attributes: fields.attributes, revisedPrompt: fields.longText(prompt)))
    }

    /// What came of fetching a link.
    /// - Returns: milliseconds after which it is to be tried again.
    mutating func take(_ outcome: LinkedPictures.Outcome, into actions: inout ExchangeActions) -> Int? {
        switch outcome {
        case .picture(let image): self.finish(image, into: &actions)
        case .failed(let index, let error): self.fail(index, error, into: &actions)
        case .again(let milliseconds): return milliseconds
        }
        return nil
    }

    private func imageIndex(_ fields: OpenAIImagesFields) -> Int {
        if let index = fields.integer(.imageIndex) { return index >= 0 ? index : Int.max }
        let linked = self.links.indexes
        return (0..<self.count).first {
            !self.finished.contains($0) && self.failures[$0] == nil && !linked.contains($0)
        } ?? self.count
    }

    private mutating func finish(_ image: UpstreamImage, into actions: inout ExchangeActions) {
        self.finished.insert(image.imageIndex)
        self.failures[image.imageIndex] = nil
        self.sawPicture = true
        self.billed = .yes
        actions.append(.emit(.image(image)))
    }

    private mutating func fail(_ index: Int, _ error: GatewayError, into actions: inout ExchangeActions) {
        guard self.failures.updateValue(error, forKey: index) == nil else { return }
        actions.append(.emit(.imageFailed(imageIndex: index, error)))
    }

    private mutating func nameModel(_ fields: OpenAIImagesFields, into actions: inout ExchangeActions) {
        guard !self.namedModel, let model = fields.text(.model) else { return }
        let label = UpstreamText.label(model, length: 128)
        guard !label.isEmpty else { return }
        self.namedModel = true
        actions.append(.emit(.model(label)))
    }
}
