import ImageGeneration
import NIOCore
import StreamCodecs

/// The values of an event that are read, besides those of its item and of the response object.
enum OpenAIResponsesField: Int, CaseIterable {
    case type, sequenceNumber, itemID, outputIndex, partialImageIndex, partialImage
    case size, quality, background, outputFormat
    case delta, refusal

    var path: String {
        switch self {
        case .type: "type"
        case .sequenceNumber: "sequence_number"
        case .itemID: "item_id"
        case .outputIndex: "output_index"
        case .partialImageIndex: "partial_image_index"
        case .partialImage: "partial_image_b64"
        case .size: "size"
        case .quality: "quality"
        case .background: "background"
        case .outputFormat: "output_format"
        case .delta: "delta"
        case .refusal: "refusal"
        }
    }
}

/// The values of an output item.
enum OpenAIResponsesItemField: Int, CaseIterable {
    case id, type, status, result, revisedPrompt, size, quality, background, outputFormat, error

    var path: String {
        switch self {
        case .id: "id"
        case .type: "type"
        case .status: "status"
        case .result: "result"
        case .revisedPrompt: "revised_prompt"
        case .size: "size"
        case .quality: "quality"
        case .background: "background"
        case .outputFormat: "output_format"
        case .error: "error"
        }
    }
}

/// The values of a response object, which events carry and a status call answers.
enum OpenAIResponsesObjectField: Int, CaseIterable {
    case id, status, model, error, reason, item
    case inputTokens, outputTokens, totalTokens
    case imageInputTokens, imageInputTextTokens, imageInputImageTokens, imageOutputTokens, imageTotalTokens

    var path: String {
        switch self {
        case .id: "id"
        case .status: "status"
        case .model: "model"
        case .error: "error"
        case .reason: "incomplete_details.reason"
        case .item: "output.*"
        case .inputTokens: "usage.input_tokens"
        case .outputTokens: "usage.output_tokens"
        case .totalTokens: "usage.total_tokens"
        case .imageInputTokens: "tool_usage.image_gen.input_tokens"
        case .imageInputTextTokens: "tool_usage.image_gen.input_tokens_details.text_tokens"
        case .imageInputImageTokens: "tool_usage.image_gen.input_tokens_details.image_tokens"
        case .imageOutputTokens: "tool_usage.image_gen.output_tokens"
        case .imageTotalTokens: "tool_usage.image_gen.total_tokens"
        }
    }
}

/// An event of a Responses stream, or a response object alone, with what was found in it.
struct OpenAIResponsesReply {
    let fields: JSONFieldScanner
    let document: ByteBuffer
    /// Where the paths of the response object begin.
    private let object: Int

    /// Output items that are looked at.
    private static let maximumItems = 64
    private static let eventItem = OpenAIResponsesField.allCases.count
    private static let eventObject = Self.eventItem + OpenAIResponsesItemField.allCases.count

    static let eventPaths = JSONFieldPaths(
        OpenAIResponsesField.allCases.map(\.path) + OpenAIResponsesItemField.allCases.map { "item.\($0.path)" }
            + Self.objectPaths("response."))
    static let documentPaths = JSONFieldPaths(Self.objectPaths(""))

    private static func objectPaths(_ prefix: String) -> [String] {
        OpenAIResponsesObjectField.allCases.map { prefix + $0.path }
            + OpenAIResponsesItemField.allCases.map { "\(prefix)output.*.\($0.path)" }
    }

    init(event fields: JSONFieldScanner, _ document: ByteBuffer) {
        self.fields = fields
        self.document = document
        self.object = Self.eventObject
    }

    init(document: ByteBuffer, _ fields: JSONFieldScanner) {
        self.fields = fields
        self.document = document
        self.object = 0
    }

    func field(_ field: OpenAIResponsesField) -> JSONField? { self.fields.last(field.rawValue) }

    func field(_ field: OpenAIResponsesObjectField) -> JSONField? { self.fields.last(self.object + field.rawValue) }

    /// A name: bounded, never a payload.
    func text(_ field: JSONField?, limit: Int = 256) -> String? {
        guard let field, field.kind == .string, field.range.count <= limit else { return nil }
        return JSONValueReader.string(field, in: self.document)
    }

    func integer(_ field: JSONField?) -> Int? {
        field.flatMap { JSONValueReader.integer($0, in: self.document) }.flatMap { Int(exactly: $0) }
    }

    var attributes: UpstreamImageAttributes {
        UpstreamImageAttributes(
            size: self.text(self.field(.size)), quality: self.text(self.field(.quality)),
            background: self.text(self.field(.background)), outputFormat: self.text(self.field(.outputFormat)))
    }

    /// The item that an event is about.
    var item: OpenAIResponsesItem {
        var item = OpenAIResponsesItem(key: self.itemKey)
        for field in OpenAIResponsesItemField.allCases {
            item[field] = self.fields.last(Self.eventItem + field.rawValue)
        }
        if let id = self.text(item[.id]) { item.key = id }
        return item
    }

    /// What tells items apart: the id, or where there is none the place in the output.
    var itemKey: String {
        self.text(self.field(.itemID)) ?? "output-\(self.integer(self.field(.outputIndex)) ?? 0)"
    }

    /// The items of the response object.
    var items: [OpenAIResponsesItem] {
        let count = min(
            Self.maximumItems, self.fields.all(self.object + OpenAIResponsesObjectField.item.rawValue).count)
        var items = (0..<count).map { OpenAIResponsesItem(key: "output-\($0)") }
        let base = self.object + OpenAIResponsesObjectField.allCases.count
        for field in OpenAIResponsesItemField.allCases {
            for found in self.fields.all(base + field.rawValue) where items.indices.contains(found.elements.0) {
                items[found.elements.0][field] = found
            }
        }
        for index in items.indices {
            if let id = self.text(items[index][.id]) { items[index].key = id }
        }
        return items
    }

    /// Tokens of the model that converses and of the one that draws, which the service counts apart.
    var usage: Usage? {
        let conversing = Usage(
            inputTokens: self.tokens(.inputTokens), outputTokens: self.tokens(.outputTokens),
            totalTokens: self.tokens(.totalTokens))
        let drawing = Usage(
            inputTokens: self.tokens(.imageInputTokens), inputTextTokens: self.tokens(.imageInputTextTokens),
            inputImageTokens: self.tokens(.imageInputImageTokens), outputTokens: self.tokens(.imageOutputTokens),
            totalTokens: self.tokens(.imageTotalTokens))
        let usage = conversing + drawing
        return usage == .zero ? nil : usage
    }

    private func tokens(_ field: OpenAIResponsesObjectField) -> Int {
        min(max(self.integer(self.field(field)) ?? 0, 0), 1 << 40)
    }

    /// An `error` object within the document as an explanation of its own.
    func report(_ error: JSONField?) -> UpstreamErrorReport? {
        guard let error, error.kind == .object || error.kind == .string else { return nil }
        guard error.kind == .object else {
            return UpstreamErrorReport(message: self.text(error, limit: UpstreamErrorReport.maximumBodyBytes))
        }
        return UpstreamErrorReport(body: JSONValueReader.slice(error, in: self.document), status: nil)
    }
}

struct OpenAIResponsesItem {
    var key: String
    private var found: [JSONField?] = Array(repeating: nil, count: OpenAIResponsesItemField.allCases.count)

    init(key: String) { self.key = key }

    subscript(field: OpenAIResponsesItemField) -> JSONField? {
        get { self.found[field.rawValue] }
        set { self.found[field.rawValue] = newValue }
    }

    func isPicture(in document: ByteBuffer) -> Bool {
        self[.type].map { JSONValueReader.equals($0, "image_generation_call", in: document) } ?? false
    }
}
