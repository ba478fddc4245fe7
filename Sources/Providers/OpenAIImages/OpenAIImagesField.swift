import ImageGeneration
import NIOCore
import StreamCodecs

/// The values of an event or a document that are read; all others are skipped at memory speed.
enum OpenAIImagesField: Int, CaseIterable {
    case type, error, model
    case payload, url, revisedPrompt
    case imageIndex, partialImageIndex
    case createdAt, created, size, quality, background, outputFormat
    case inputTokens, promptTokens, inputTextTokens, inputImageTokens
    case outputTokens, completionTokens, totalTokens
    case documentPayload, documentURL, documentRevisedPrompt, documentItem

    var path: String {
        switch self {
        case .type: "type"
        case .error: "error"
        case .model: "model"
        case .payload: "b64_json"
        case .url: "url"
        case .revisedPrompt: "revised_prompt"
        case .imageIndex: "image_index"
        case .partialImageIndex: "partial_image_index"
        case .createdAt: "created_at"
        case .created: "created"
        case .size: "size"
        case .quality: "quality"
        case .background: "background"
        case .outputFormat: "output_format"
        case .inputTokens: "usage.input_tokens"
        case .promptTokens: "usage.prompt_tokens"
        case .inputTextTokens: "usage.input_tokens_details.text_tokens"
        case .inputImageTokens: "usage.input_tokens_details.image_tokens"
        case .outputTokens: "usage.output_tokens"
        case .completionTokens: "usage.completion_tokens"
        case .totalTokens: "usage.total_tokens"
        case .documentPayload: "data.*.b64_json"
        case .documentURL: "data.*.url"
        case .documentRevisedPrompt: "data.*.revised_prompt"
        case .documentItem: "data.*"
        }
    }

    static let paths = JSONFieldPaths(allCases.map(\.path))
}

/// One event or document with what was found in it.
struct OpenAIImagesFields {
    let findings: JSONFindings
    let document: ByteBuffer
    /// A bit for each field that is there: most are not, and need no search.
    private let present: UInt32

    init(_ findings: JSONFindings, document: ByteBuffer) {
        self.findings = findings
        self.document = document
        self.present = findings.presentPaths
    }

    func field(_ field: OpenAIImagesField) -> JSONField? {
        self.present & (1 << UInt32(field.rawValue)) == 0 ? nil : self.findings.last(field.rawValue)
    }

    /// Bounded: a name or number, never a payload.
    func text(_ field: OpenAIImagesField) -> String? {
        guard let found = self.field(field), found.kind == .string, found.range.count <= 256 else { return nil }
        return JSONValueReader.string(found, in: self.document)
    }

    func integer(_ field: OpenAIImagesField) -> Int? {
        guard let found = self.field(field), found.kind == .number else { return nil }
        return JSONValueReader.integer(found, in: self.document).flatMap { Int(exactly: $0) }
    }

    func longText(_ field: JSONField?) -> String? {
        guard let field, field.kind == .string, field.range.count <= 64 << 10 else { return nil }
        return JSONValueReader.string(field, in: self.document)
    }

    /// The one that carries the picture: `b64_json`, or a `url` that is a `data:` URL.
    func payload(_ base64: JSONField?, _ url: JSONField?) -> JSONField? {
        if let base64, base64.kind == .string, !base64.range.isEmpty { return base64 }
        guard let url, url.kind == .string else { return nil }
        return JSONValueReader.slice(url, in: self.document).readableBytesView.starts(with: "data:".utf8) ? url : nil
    }

    var hasError: Bool {
        guard let kind = self.field(.error)?.kind else { return false }
        return kind == .object || kind == .string
    }

    var attributes: UpstreamImageAttributes {
        UpstreamImageAttributes(
            size: self.text(.size), quality: self.text(.quality), background: self.text(.background),
            outputFormat: self.text(.outputFormat),
            createdAt: (self.integer(.createdAt) ?? self.integer(.created)).map(Int64.init))
    }

    /// In OpenAI's words, or in those of chat completions as some look-alikes use.
    var usage: Usage? {
        let input = self.integer(.inputTokens) ?? self.integer(.promptTokens)
        let output = self.integer(.outputTokens) ?? self.integer(.completionTokens)
        let total = self.integer(.totalTokens)
        guard input != nil || output != nil || total != nil else { return nil }
        let bounded = { (count: Int?) in min(max(count ?? 0, 0), 1 << 40) }
        return Usage(
            inputTokens: bounded(input), inputTextTokens: bounded(self.integer(.inputTextTokens)),
            inputImageTokens: bounded(self.integer(.inputImageTokens)), outputTokens: bounded(output),
            totalTokens: total.map(bounded) ?? bounded(input) + bounded(output))
    }
}
