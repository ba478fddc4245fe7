import ImageGeneration
import NIOCore
import StreamCodecs

/// The values of a `GenerateContentResponse` that are read.
enum GeminiField: Int, CaseIterable {
    case error, part, text, thought, data, mimeType
    case finishReason, blockReason, blockMessage, modelVersion
    case promptTokens, candidateTokens, thoughtTokens, totalTokens, promptModality, promptModalityTokens
    // Of the Interactions API.
    case eventType, deltaText, deltaData, deltaMimeType, interactionStatus, interactionModel, interactionTokens

    var path: String {
        switch self {
        case .error: "error"
        case .part: "candidates.*.content.parts.*"
        case .text: "candidates.*.content.parts.*.text"
        case .thought: "candidates.*.content.parts.*.thought"
        case .data: "candidates.*.content.parts.*.inlineData.data"
        case .mimeType: "candidates.*.content.parts.*.inlineData.mimeType"
        case .finishReason: "candidates.*.finishReason"
        case .blockReason: "promptFeedback.blockReason"
        case .blockMessage: "promptFeedback.blockReasonMessage"
        case .modelVersion: "modelVersion"
        case .promptTokens: "usageMetadata.promptTokenCount"
        case .candidateTokens: "usageMetadata.candidatesTokenCount"
        case .thoughtTokens: "usageMetadata.thoughtsTokenCount"
        case .totalTokens: "usageMetadata.totalTokenCount"
        case .promptModality: "usageMetadata.promptTokensDetails.*.modality"
        case .promptModalityTokens: "usageMetadata.promptTokensDetails.*.tokenCount"
        case .eventType: "event_type"
        case .deltaText: "delta.text"
        case .deltaData: "delta.data"
        case .deltaMimeType: "delta.mime_type"
        case .interactionStatus: "interaction.status"
        case .interactionModel: "interaction.model"
        case .interactionTokens: "interaction.usage.total_tokens"
        }
    }

    static let paths = JSONFieldPaths(allCases.map(\.path))
}

/// A chunk of a stream, or a whole answer, with what was found in it.
struct GeminiReply {
    let fields: JSONFieldScanner
    let document: ByteBuffer

    /// Parts of one chunk that are looked at.
    private static let maximumParts = 256

    struct Part {
        var text: JSONField?
        var data: JSONField?
        var mimeType: JSONField?
        var isThought = false
    }

    func field(_ field: GeminiField) -> JSONField? { self.fields.last(field.rawValue) }

    func text(_ field: JSONField?, limit: Int = 256) -> String? {
        guard let field, field.kind == .string, field.range.count <= limit else { return nil }
        return JSONValueReader.string(field, in: self.document)
    }

    /// Parts of the first candidate, in order.
    var parts: [Part] {
        let count = self.fields.all(GeminiField.part.rawValue).filter { $0.elements.0 == 0 }.count
        var parts = Array(repeating: Part(), count: min(count, Self.maximumParts))
        func each(_ field: GeminiField, _ take: (inout Part, JSONField) -> Void) {
            for found in self.fields.all(field.rawValue)
            where found.elements.0 == 0 && parts.indices.contains(found.elements.1) {
                take(&parts[found.elements.1], found)
            }
        }
        each(.text) { $0.text = $1 }
        each(.data) { $0.data = $1 }
        each(.mimeType) { $0.mimeType = $1 }
        each(.thought) { $0.isThought = $1.kind == .true }
        return parts
    }

    /// Of the first candidate.
    var finishReason: String? {
        self.text(self.fields.all(GeminiField.finishReason.rawValue).first { $0.elements.0 == 0 })
    }

    /// What an event of the Interactions API brings: a text or a picture.
    var delta: Part {
        Part(
            text: self.field(.deltaText), data: self.field(.deltaData), mimeType: self.field(.deltaMimeType))
    }

    var hasError: Bool { self.field(.error).map { $0.kind == .object || $0.kind == .string } ?? false }

    /// So far: each chunk counts from the beginning.
    var usage: Usage? {
        if let total = self.field(.interactionTokens) { return Usage(totalTokens: self.tokens(total)) }
        guard self.field(.totalTokens) != nil || self.field(.promptTokens) != nil else { return nil }
        let input = self.tokens(self.field(.promptTokens))
        let output = self.tokens(self.field(.candidateTokens)) + self.tokens(self.field(.thoughtTokens))
        let total = self.tokens(self.field(.totalTokens))
        return Usage(
            inputTokens: input, inputTextTokens: self.promptTokens("TEXT"),
            inputImageTokens: self.promptTokens("IMAGE"),
            outputTokens: output, totalTokens: total > 0 ? total : input + output)
    }

    private func promptTokens(_ modality: StaticString) -> Int {
        let element = self.fields.all(GeminiField.promptModality.rawValue).first {
            JSONValueReader.equals($0, modality, in: self.document)
        }?.elements.0
        guard let element else { return 0 }
        return self.tokens(
            self.fields.all(GeminiField.promptModalityTokens.rawValue).first { $0.elements.0 == element })
    }

    private func tokens(_ field: JSONField?) -> Int {
        let number = field.flatMap { JSONValueReader.integer($0, in: self.document) } ?? 0
        return Int(min(max(number, 0), 1 << 40))
    }
}
