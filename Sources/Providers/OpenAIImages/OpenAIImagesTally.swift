import ImageGeneration
import NIOCore
import StreamCodecs

/// Which pictures have come, under which index, and what that may have cost.
///
/// The schema has no picture index: pictures are numbered in the order they complete, unless the upstream says `image_index`.
struct OpenAIImagesTally: Sendable {
    let count: Int

    private var finished: Set<Int> = []
    private var failures: [Int: GatewayError] = [:]
    private var namedModel = false
    /// A preview or a picture has come.
    private(set) var sawPicture = false
    /// The upstream has said that it is done.
    var sawEnd = false
    var billed: GatewayError.Billed = .no

    enum Outcome { case taken, failure }

    init(count: Int) {
        self.count = max(1, count)
    }

    /// All pictures asked for are here.
    var isComplete: Bool { self.finished.count >= self.count }

    /// - Returns: `failure` when the frame reports the end of the whole job by an error.
    mutating func take(
        _ frame: ServerSentEventFrame, fields: OpenAIImagesFields, into actions: inout ExchangeActions
    ) throws(GatewayError) -> Outcome {
        self.nameModel(fields, into: &actions)
        switch OpenAIImagesEvent(frame, fields: fields) {
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
                    payload: try self.canonical(payload, in: fields.document))))
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
            self.fail(index, fields.field(.url)?.kind == .string ? Self.onlyLink : Self.noImage, into: &actions)
            return
        }
        let image = UpstreamImage(
            imageIndex: index, attributes: fields.attributes,
            payload: try self.canonical(payload, in: fields.document), usage: fields.usage,
            revisedPrompt: fields.longText(fields.field(.revisedPrompt)))
        self.finish(image, into: &actions)
    }

    private mutating func takeFailure(_ fields: OpenAIImagesFields, into actions: inout ExchangeActions) {
        let index = self.imageIndex(fields)
        guard index < self.count, !self.finished.contains(index) else { return }
        let error = UpstreamErrorReport(body: fields.document, status: nil).gatewayError(billed: self.billed)
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
        let payloads = Self.byElement(fields.scanner.all(OpenAIImagesField.documentPayload.rawValue))
        let links = Self.byElement(fields.scanner.all(OpenAIImagesField.documentURL.rawValue))
        let prompts = Self.byElement(fields.scanner.all(OpenAIImagesField.documentRevisedPrompt.rawValue))
        let items = fields.scanner.all(OpenAIImagesField.documentItem.rawValue)
        if let usage = fields.usage {
            self.billed = .yes
            actions.append(.emit(.usage(usage)))
        }
        for index in 0..<min(self.count, items.count) {
            if let payload = fields.payload(payloads[index], links[index]) {
                let image = UpstreamImage(
                    imageIndex: index, attributes: attributes,
                    payload: try self.canonical(payload, in: fields.document),
                    revisedPrompt: fields.longText(prompts[index]))
                self.finish(image, into: &actions)
            } else {
                self.fail(index, links[index]?.kind == .string ? Self.onlyLink : Self.noImage, into: &actions)
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
        guard self.sawEnd else {
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
    private static let onlyLink = GatewayError(
        .upstreamProtocol, "The upstream sent a link in place of the picture.", billed: .yes)

    private func imageIndex(_ fields: OpenAIImagesFields) -> Int {
        if let index = fields.integer(.imageIndex) { return index >= 0 ? index : Int.max }
        return (0..<self.count).first { !self.finished.contains($0) && self.failures[$0] == nil } ?? self.count
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

    private func canonical(_ field: JSONField, in document: ByteBuffer) throws(GatewayError) -> ByteBuffer {
        var document = document
        let payload: ByteBuffer
        do { payload = try Base64.canonical(field, in: &document) } catch {
            throw GatewayError(.upstreamProtocol, "The upstream sent a picture that is not valid base64.")
        }
        guard payload.readableBytes > 0 else {
            throw GatewayError(.upstreamProtocol, "The upstream sent an empty picture.")
        }
        return payload
    }
}
