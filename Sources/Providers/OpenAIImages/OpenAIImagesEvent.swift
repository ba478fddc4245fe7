import ImageGeneration
import NIOCore
import StreamCodecs

/// What kind of event a frame is: by `type` in its data, else by its event name. Look-alikes send only one of the two.
enum OpenAIImagesEvent {
    case partialImage
    /// A finished picture; from some look-alikes the end of the job, without a picture.
    case completed
    /// Look-alikes: one finished picture of several.
    case imageSucceeded
    /// Look-alikes: one picture of several failed.
    case imageFailed
    case error
    case unknown(String)

    private static let names: [StaticString] = [
        "image_generation.partial_image", "image_edit.partial_image",
        "image_generation.completed", "image_edit.completed",
        "image_generation.partial_succeeded", "image_edit.partial_succeeded",
        "image_generation.partial_failed", "image_edit.partial_failed", "error",
    ]

    /// As at this place of ``names``.
    private init(place: Int) {
        switch place / 2 {
        case 0: self = .partialImage
        case 1: self = .completed
        case 2: self = .imageSucceeded
        case 3: self = .imageFailed
        default: self = .error
        }
    }

    static func of(_ frame: ServerSentEventFrame, fields: OpenAIImagesFields) -> OpenAIImagesEvent {
        let type = fields.field(.type).flatMap { $0.kind == .string ? $0 : nil }
        let place =
            if let type {
                JSONValueReader.index(of: type, among: Self.names, in: fields.document)
            } else {
                frame.index(among: Self.names)
            }
        if let place { return OpenAIImagesEvent(place: place) }
        if fields.hasError { return .error }
        let name =
            type.flatMap { $0.range.count <= 256 ? JSONValueReader.string($0, in: fields.document) : nil }
            ?? frame.eventName
        return .unknown(UpstreamText.label(name ?? "message"))
    }

    /// The end mark some proxies add.
    static func isEndMark(_ frame: ServerSentEventFrame) -> Bool {
        frame.data.readableBytes <= 16
            && frame.data.readableBytesView.filter { $0 != 0x20 }.elementsEqual("[DONE]".utf8)
    }
}
