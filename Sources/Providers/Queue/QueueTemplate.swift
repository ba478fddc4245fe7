import ImageGeneration
import NIOCore
import StreamCodecs

/// The body of a submission with places for fields of the unified request. A member whose field is not set is left out.
indirect enum QueueTemplate: Sendable {
    case object([(key: String, value: QueueTemplate)])
    case array([QueueTemplate])
    /// A JSON value as it stands in the definition.
    case literal(ByteBuffer)
    case field(QueueRequestField, QueueFieldRule)

    /// The body's pieces; payloads are not copied.
    func body(_ request: ImageRequest, model: String?) -> [ByteBuffer] {
        var writer = SplicingWriter()
        self.write(request, model: model, into: &writer)
        return writer.finish()
    }

    private func write(_ request: ImageRequest, model: String?, into writer: inout SplicingWriter) {
        switch self {
        case .object(let members):
            writer.json.beginObject()
            for (key, value) in members where value.isSet(request, model: model) {
                writer.json.key(dynamic: key)
                value.write(request, model: model, into: &writer)
            }
            writer.json.endObject()
        case .array(let elements):
            writer.json.beginArray()
            for element in elements where element.isSet(request, model: model) {
                element.write(request, model: model, into: &writer)
            }
            writer.json.endArray()
        case .literal(let raw):
            writer.json.value(raw: raw)
        case .field(let field, let rule):
            Self.write(rule.applied(to: field.value(in: request, model: model, rule: rule)), into: &writer)
        }
    }

    /// An object or list is set when anything in it is.
    private func isSet(_ request: ImageRequest, model: String?) -> Bool {
        switch self {
        case .object(let members): members.isEmpty || members.contains { $0.value.isSet(request, model: model) }
        case .array(let elements): elements.isEmpty || elements.contains { $0.isSet(request, model: model) }
        case .literal: true
        case .field(let field, let rule): rule.applied(to: field.value(in: request, model: model, rule: rule)) != nil
        }
    }

    private static func write(_ value: QueueFieldValue?, into writer: inout SplicingWriter) {
        switch value {
        case nil: writer.json.null()
        case .text(let text): writer.json.value(text)
        case .integer(let number): writer.json.value(number)
        case .boolean(let flag): writer.json.value(flag)
        case .payload(let prefix, let base64): writer.splice(prefix: prefix, base64)
        case .list(let values):
            writer.json.beginArray()
            for value in values { self.write(value, into: &writer) }
            writer.json.endArray()
        }
    }

    /// Names in the body → unified names of the fields behind them; for errors that name a parameter.
    var parameters: [String: String] {
        var names: [String: String] = [:]
        switch self {
        case .object(let members):
            for (key, value) in members {
                if case .field(let field, _) = value { names[key] = field.unifiedName }
                names.merge(value.parameters) { first, _ in first }
            }
        case .array(let elements):
            for element in elements { names.merge(element.parameters) { first, _ in first } }
        case .literal, .field: break
        }
        return names
    }

    /// Unified names of all fields that can be told.
    var unifiedNames: Set<String> {
        switch self {
        case .object(let members): members.reduce(into: []) { $0.formUnion($1.value.unifiedNames) }
        case .array(let elements): elements.reduce(into: []) { $0.formUnion($1.unifiedNames) }
        case .literal: []
        case .field(let field, _): [field.unifiedName]
        }
    }
}

enum QueueFieldValue: Sendable {
    case text(String)
    case integer(Int64)
    case boolean(Bool)
    case payload(prefix: String, ByteBuffer)
    case list([QueueFieldValue])
}

/// What is done with a field's value before it is written.
struct QueueFieldRule: Sendable {
    /// Words of the unified request → words of the service.
    var map: [String: String] = [:]
    /// Words that the map lacks are passed on; else left out.
    var keepsOthers = true
    /// Ratios the service knows.
    var nearest: [AspectRatio] = []
    /// Pictures as `data:` URLs in place of bare base64.
    var asDataURL = false

    func applied(to value: QueueFieldValue?) -> QueueFieldValue? {
        guard case .text(let text) = value else { return value }
        if let mapped = self.map[text] { return .text(mapped) }
        if !self.nearest.isEmpty {
            return AspectRatio(text)?.nearest(of: self.nearest).map { .text("\($0.width):\($0.height)") }
        }
        return self.keepsOthers ? value : nil
    }
}

enum QueueRequestField: Hashable, Sendable {
    case prompt, negativePrompt, model, count, everyCount, size, width, height, aspectRatio, quality, outputFormat
    case outputCompression, background, style, seed, user, image, images, mask
    /// Extension of the unified request.
    case named(String)

    static let names: [String: QueueRequestField] = [
        "prompt": .prompt, "negative_prompt": .negativePrompt, "model": .model, "n": .count, "count": .everyCount,
        "size": .size,
        "width": .width, "height": .height, "aspect_ratio": .aspectRatio, "quality": .quality,
        "output_format": .outputFormat, "output_compression": .outputCompression, "background": .background,
        "style": .style, "seed": .seed, "user": .user, "image": .image, "images": .images, "mask": .mask,
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
        case .everyCount: "n"
        case .named(let name): name
        default: Self.names.first { $0.value == self }?.key ?? ""
        }
    }

    func value(in request: ImageRequest, model: String?, rule: QueueFieldRule) -> QueueFieldValue? {
        switch self {
        case .prompt: .text(request.prompt)
        case .negativePrompt: request.negativePrompt.map { .text($0) }
        case .model: model.map { .text($0) }
        case .count: request.count > 1 ? .integer(Int64(request.count)) : nil
        case .everyCount: .integer(Int64(max(1, request.count)))
        case .size: request.size.flatMap(Self.sizeText).map { .text($0) }
        case .width: request.size.flatMap(Self.pixels).map { .integer(Int64($0.width)) }
        case .height: request.size.flatMap(Self.pixels).map { .integer(Int64($0.height)) }
        case .aspectRatio: request.size.flatMap(Self.ratio).map { .text("\($0.width):\($0.height)") }
        case .quality: request.quality.map { .text($0) }
        case .outputFormat: request.outputFormat.map { .text($0.rawValue) }
        case .outputCompression: request.outputCompression.map { .integer(Int64($0)) }
        case .background: request.background.map { .text($0) }
        case .style: request.style.map { .text($0) }
        case .seed: request.seed.map { .integer($0) }
        case .user: request.user.map { .text($0) }
        case .image: request.images.first.map { Self.picture($0, rule) }
        case .images: request.images.isEmpty ? nil : .list(request.images.map { Self.picture($0, rule) })
        case .mask: request.mask.map { Self.picture($0, rule) }
        case .named(let name): request.extensions[name].map(Self.scalar)
        }
    }

    private static func scalar(_ value: ImageRequest.ExtensionValue) -> QueueFieldValue {
        switch value {
        case .text(let text): .text(text)
        case .integer(let number): .integer(number)
        case .boolean(let flag): .boolean(flag)
        }
    }

    private static func sizeText(_ size: ImageRequest.Size) -> String? {
        switch size {
        case .named(let name): name
        case .pixels(let width, let height): "\(width)x\(height)"
        case .aspectRatio: nil
        }
    }

    private static func pixels(_ size: ImageRequest.Size) -> AspectRatio? {
        switch size {
        case .named(let name): name.contains("x") ? AspectRatio(name) : nil
        case .pixels(let width, let height): AspectRatio(width: width, height: height)
        case .aspectRatio: nil
        }
    }

    private static func ratio(_ size: ImageRequest.Size) -> AspectRatio? {
        switch size {
        case .named(let name): AspectRatio(name)?.reduced
        case .pixels(let width, let height), .aspectRatio(let width, let height):
            width > 0 && height > 0 ? AspectRatio(width: width, height: height).reduced : nil
        }
    }

    private static func picture(_ image: InputImage, _ rule: QueueFieldRule) -> QueueFieldValue {
        switch image.content {
        case .url(let text), .fileID(let text): return .text(text)
        case .bytes(let bytes):
            let type = InputMediaType.of(image, bytes: bytes)
            return .payload(prefix: rule.asDataURL ? "data:\(type);base64," : "", Base64.encode(bytes))
        case .base64(let text):
            let type = InputMediaType.of(image, bytes: Base64.decodePrefix(text, maximumBytes: 64))
            return .payload(prefix: rule.asDataURL ? "data:\(type);base64," : "", text)
        }
    }
}
