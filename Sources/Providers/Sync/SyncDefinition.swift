import HTTPTypes
import ImageGeneration
import NIOCore
import StreamCodecs

/// How one service is spoken to that answers a request with its pictures: its calls, what they are told, and where the answer
/// says what. Presets are such data, and so is a definition of one's own; ``init(layers:)`` reads the JSON form.
struct SyncDefinition: Sendable {
    /// Pictures one call can bring.
    var maximumCount: Int
    var key: KeyHeader?
    var generate: Call?
    var edit: Call?
    var reply: SyncReplyPaths

    struct Call: Sendable {
        var request: QueueCallTemplate
        var body: QueueTemplate
        var encoding: Encoding
        var accept: String
    }

    enum Encoding: String, Sendable, CaseIterable { case json, form }

    var operations: Set<ImageRequest.Operation> {
        var operations: Set<ImageRequest.Operation> = []
        if self.generate != nil { operations.insert(.generate) }
        if self.edit != nil { operations.insert(.edit) }
        return operations
    }

    func call(for operation: ImageRequest.Operation) -> Call? { operation == .edit ? self.edit : self.generate }

    /// Unified names of all fields that can be told.
    var parameters: Set<String> {
        var names = self.generate?.body.unifiedNames ?? []
        names.formUnion(self.edit?.body.unifiedNames ?? [])
        names.subtract(["prompt", "model"])
        return names
    }
}

/// Paths into answers, compiled: each number is an index into `paths`.
struct SyncReplyPaths: Sendable {
    var paths: JSONFieldPaths
    /// Alternatives: the first that names any picture counts.
    var images: [Images]
    var refused: [Refusal]
    /// Headers that tell of a refusal by this value.
    var refusedHeaders: [(name: HTTPField.Name, value: String)]
    /// An answer without pictures is the service's way to refuse.
    var emptyMeansRefused: Bool
    /// A value here that is neither null, false nor empty means failure, though the status says success.
    var failureWhen: [Int]
    var failureCode: [Int]
    var failureMessage: [Int]
    var model: [Int]
    var inputTokens: [Int]
    var outputTokens: [Int]
    var totalTokens: [Int]

    /// Either `base64` or `url`, with `*` where there may be several.
    struct Images: Sendable {
        var base64: Int?
        var url: Int?
        var format: Int?
        var size: Int?
        var revisedPrompt: Int?
    }

    /// A value that tells of a refusal: of the picture at its `*`, or of the whole request.
    struct Refusal: Sendable {
        var path: Int
        /// Nil: any value that is neither null, false nor empty, and a text is the reason.
        var value: Value?

        enum Value: Sendable, Equatable {
            case text(String)
            case boolean(Bool)
        }
    }
}
