import ImageGeneration
import NIOCore
import StreamCodecs

enum QueueFieldValue: Sendable {
    case text(String)
    case integer(Int64)
    case boolean(Bool)
    /// JSON as it stands in the definition.
    case literal(ByteBuffer)
    case picture(InputImage, asDataURL: Bool)
    case list([QueueFieldValue])
    case object([(key: String, value: QueueFieldValue)])
}

/// What is done with a field's value before it is written.
struct QueueFieldRule: Sendable {
    /// Words of the unified request → what the service is told.
    var map: [String: Mapped] = [:]
    /// Words that the map lacks are passed on; else left out.
    var keepsOthers = true
    /// Ratios the service knows.
    var nearest: [AspectRatio] = []
    /// Pictures as `data:` URLs in place of bare base64.
    var asDataURL = false
    /// Of `images` this one alone.
    var index: Int?
    /// Fewer `images` than this are left out.
    var leastCount = 1
    /// Pixels that width and height have where only a ratio was asked for; nil: they have none then.
    var area: Int?
    /// What those are rounded to.
    var multiple = 1

    enum Mapped: Sendable {
        case value(ByteBuffer)
        case nothing

        fileprivate var fieldValue: QueueFieldValue? {
            switch self {
            case .value(let raw): .literal(raw)
            case .nothing: nil
            }
        }
    }

    func applied(to value: QueueFieldValue?) -> QueueFieldValue? {
        guard let word = Self.word(value), !self.map.isEmpty || !self.nearest.isEmpty else { return value }
        if let mapped = self.map[word] { return mapped.fieldValue }
        if !self.nearest.isEmpty {
            guard let near = AspectRatio(word)?.nearest(of: self.nearest) else { return nil }
            let text = "\(near.width):\(near.height)"
            guard let mapped = self.map[text] else { return .text(text) }
            return mapped.fieldValue
        }
        return self.keepsOthers ? value : nil
    }

    /// As the map spells it.
    private static func word(_ value: QueueFieldValue?) -> String? {
        switch value {
        case .text(let text): text
        case .integer(let number): String(number)
        case .boolean(let flag): flag ? "true" : "false"
        case nil, .literal, .picture, .list, .object: nil
        }
    }
}

enum QueueRequestField: Hashable, Sendable {
    case prompt, messages, instructions, negativePrompt, model, imageModel, count, size, width, height, aspectRatio
    case quality, outputFormat, outputCompression, background, style, seed, partialImages, user, metadata
    case image, images, mask
    /// Extension of the unified request.
    case named(String)

    static let names: [String: QueueRequestField] = [
        "prompt": .prompt, "messages": .messages, "instructions": .instructions, "negative_prompt": .negativePrompt,
        "model": .model, "image_model": .imageModel, "n": .count, "size": .size, "width": .width, "height": .height,
        "aspect_ratio": .aspectRatio, "quality": .quality, "output_format": .outputFormat,
        "output_compression": .outputCompression, "background": .background, "style": .style, "seed": .seed,
        "partial_images": .partialImages, "user": .user, "metadata": .metadata, "image": .image, "images": .images,
        "mask": .mask,
    ]

    init?(_ name: String) {
        if name.hasPrefix("extensions."), name.utf8.count > 11 {
            self = .named(String(name.dropFirst(11)))
        } else if let field = Self.names[name] {
            self = field
        } else {
            return nil
        }
    }

    /// The spelling of the unified request; all ways to say a size are one.
    var unifiedName: String {
        switch self {
        case .size, .width, .height, .aspectRatio: "size"
        case .image, .images: "images"
        case .named(let name): name
        default: Self.names.first { $0.value == self }?.key ?? ""
        }
    }

    /// With the rule applied; nil where the request does not say.
    func value(in source: QueueTemplate.Source, rule: QueueFieldRule) -> QueueFieldValue? {
        rule.applied(to: self.scalar(source.request, model: source.model, rule) ?? self.compound(source.request, rule))
    }

    private func scalar(_ request: ImageRequest, model: String?, _ rule: QueueFieldRule) -> QueueFieldValue? {
        switch self {
        case .prompt: .text(request.prompt)
        case .instructions: request.instructions.map { .text($0) }
        case .negativePrompt: request.negativePrompt.map { .text($0) }
        case .model: model.map { .text($0) }
        case .imageModel: request.imageModel.map { .text($0) }
        case .count: request.count > 1 ? .integer(Int64(request.count)) : nil
        case .size: request.size?.text.map { .text($0) }
        case .width: request.size?.pixels(rule).map { .integer(Int64($0.width)) }
        case .height: request.size?.pixels(rule).map { .integer(Int64($0.height)) }
        case .aspectRatio: request.size?.ratio.map { .text("\($0.width):\($0.height)") }
        case .quality: request.quality.map { .text($0) }
        case .outputFormat: request.outputFormat.map { .text($0.rawValue) }
        case .outputCompression: request.outputCompression.map { .integer(Int64($0)) }
        case .background: request.background.map { .text($0) }
        case .style: request.style.map { .text($0) }
        case .seed: request.seed.map { .integer($0) }
        case .partialImages: request.partialImages.map { .integer(Int64($0)) }
        case .user: request.user.map { .text($0) }
        case .named(let name): request.extensions[name].map(Self.value)
        case .messages, .metadata, .image, .images, .mask: nil
        }
    }

    private func compound(_ request: ImageRequest, _ rule: QueueFieldRule) -> QueueFieldValue? {
        func picture(_ image: InputImage) -> QueueFieldValue { .picture(image, asDataURL: rule.asDataURL) }
        switch self {
        case .image, .images:
            guard request.images.count >= rule.leastCount else { return nil }
            if self == .images, rule.index == nil {
                return request.images.isEmpty ? nil : .list(request.images.map(picture))
            }
            return request.images.dropFirst(rule.index ?? 0).first.map(picture)
        case .mask: return request.mask.map(picture)
        case .metadata:
            let members = request.metadata.sorted { $0.key < $1.key }.map { ($0.key, QueueFieldValue.text($0.value)) }
            return members.isEmpty ? nil : .object(members)
        case .messages:
            let messages = request.messages.map { message in
                QueueFieldValue.object([("role", .text(message.role.rawValue)), ("content", .text(message.text))])
            }
            return messages.isEmpty ? nil : .list(messages)
        default: return nil
        }
    }

    private static func value(_ value: ImageRequest.ExtensionValue) -> QueueFieldValue {
        switch value {
        case .text(let text): .text(text)
        case .integer(let number): .integer(number)
        case .boolean(let flag): .boolean(flag)
        }
    }
}

extension ImageRequest.Size {
    /// Nil for a ratio, which is no size.
    fileprivate var text: String? {
        switch self {
        case .named(let name): name
        case .pixels(let width, let height): "\(width)x\(height)"
        case .aspectRatio: nil
        }
    }

    /// In lowest terms.
    fileprivate var ratio: AspectRatio? {
        switch self {
        case .named(let name): AspectRatio(name)?.reduced
        case .pixels(let width, let height), .aspectRatio(let width, let height):
            width > 0 && height > 0 ? AspectRatio(width: width, height: height).reduced : nil
        }
    }

    /// As asked for; of a ratio the sides of the rule's area.
    fileprivate func pixels(_ rule: QueueFieldRule) -> AspectRatio? {
        switch self {
        case .named(let name) where name.contains("x"): return AspectRatio(name)
        case .pixels(let width, let height): return AspectRatio(width: width, height: height)
        case .named, .aspectRatio:
            guard let area = rule.area, let ratio = self.ratio else { return nil }
            let unit = (Double(area) / (Double(ratio.width) * Double(ratio.height))).squareRoot()
            func side(_ share: Int) -> Int {
                max(1, Int((unit * Double(share) / Double(rule.multiple)).rounded())) * rule.multiple
            }
            return AspectRatio(width: side(ratio.width), height: side(ratio.height))
        }
    }
}
